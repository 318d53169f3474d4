package pinning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/jsontext"
	"github.com/image2ipfs/image2ipfs/internal/owned"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// Services are those that a store knows, each in a file of its own that its owner alone
// may read: services/<name>.json. It is safe for concurrent use.
type Services struct{ dir string }

// NewServices gives the services of the embedded store in a directory.
func NewServices(store string) *Services { return &Services{filepath.Join(store, "services")} }

// stored is the content of such a file.
type stored struct {
	Endpoint string `json:"endpoint"`
	Token    string `json:"token"`
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (s *Services) path(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%w: %q is no name for one: letters, digits, '.', '_' and '-', at most 63", ErrConfig, name)
	}
	return filepath.Join(s.dir, name+".json"), nil
}

// Add keeps a service; one of that name is replaced only where that is wanted. Errors
// match [ErrConfig].
func (s *Services) Add(service Service, replace bool) error {
	path, err := s.path(service.Name)
	if err != nil {
		return err
	}
	if service.Token == "" || strings.ContainsFunc(service.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: the token is empty, or has spaces or other characters in it than a header takes", ErrConfig)
	}
	if _, err := os.Stat(path); err == nil && !replace {
		return fmt.Errorf("%w: there is one called %s already: --replace puts this in its place", ErrConfig, service.Name)
	}
	if err := owned.MkdirAll(s.dir); err != nil {
		return err
	}
	data, err := json.Marshal(stored{service.Endpoint, service.Token})
	if err != nil {
		return err
	}
	return owned.WriteFile(path, append(data, '\n'))
}

// Get gives a service. The error matches [ipfs.ErrNotFound] when there is none of that
// name, and lists those that there are.
func (s *Services) Get(name string) (Service, error) {
	path, err := s.path(name)
	if err != nil {
		return Service{}, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		there := "none is known: image2ipfs service add makes one known"
		if names, err := s.names(); err == nil && len(names) > 0 {
			there = "there are " + strings.Join(names, ", ")
		}
		return Service{}, fmt.Errorf("%w: pinning service %s; %s", ipfs.ErrNotFound, name, there)
	}
	if err != nil {
		return Service{}, err
	}
	var found stored
	err = jsontext.UnmarshalSecret(data, &found)
	if err == nil && found.Endpoint == "" {
		err = errors.New("it has no endpoint")
	}
	if err != nil {
		return Service{}, fmt.Errorf("%w: %s is damaged (%w): image2ipfs service add --replace %s writes it anew", ErrConfig, path, err, name)
	}
	return Service{Name: name, Endpoint: found.Endpoint, Token: found.Token}, nil
}

// List gives all services by name. A file that is damaged is an error, beside the others.
func (s *Services) List() (all []Service, err error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, name := range names {
		service, err := s.Get(name)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		all = append(all, service)
	}
	return all, errors.Join(wrong...)
}

func (s *Services) names() (names []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && validName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// Remove forgets a service, and its token. Errors are those of [Services.Get].
func (s *Services) Remove(name string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = s.Get(name)
		return err
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(s.dir)
}
