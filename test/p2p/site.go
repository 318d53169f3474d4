//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/image2ipfs/image2ipfs/test/netlab"
	"github.com/image2ipfs/image2ipfs/test/process"
)

// site is a network with a publisher, which has every image in its store and
// in a docker-registry.
type site struct {
	b         *bench
	lab       *netlab.Lab
	publisher *node
	registry  *process.Process
}

const (
	registryPort = ":5001"
	ourAddress   = "127.0.0.1:5000" // of each machine's own server
)

// newSite makes the network; what was published for an earlier one is there.
func (b *bench) newSite() (*site, error) {
	lab, err := netlab.New(b.ctx)
	if err != nil {
		return nil, err
	}
	s := &site{b: b, lab: lab}
	if err := s.begin(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) begin() (err error) {
	if s.publisher, err = s.node("publisher"); err != nil {
		return err
	}
	s.publisher.store = s.b.path("published") // kept from run to run
	data := s.b.path("registry")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	config := filepath.Join(data, "config.yml")
	text := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {cache: {blobdescriptor: inmemory}, filesystem: {rootdirectory: %s}}
http: {addr: %q}
`, data, registryPort)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	m := s.publisher.m
	s.registry, err = s.b.start(m, filepath.Join(data, "log"), m.IP+registryPort, nil, "docker-registry", "serve", config)
	return err
}

func (s *site) close() error {
	var errs []error
	if s.registry != nil {
		s.registry.Kill()
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.stop())
	}
	return errors.Join(append(errs, s.lab.Close())...)
}

// publish publishes an archive on both sides, and gives its size as it is
// stored here.
func (s *site) publish(archive string) (image, error) {
	var said struct {
		Size   int64
		Images []struct{ PullName string }
	}
	text, err := output(s.publisher.command("publish", "--json", archive))
	if err == nil {
		err = json.Unmarshal([]byte(text), &said)
	}
	if err == nil && len(said.Images) != 1 {
		err = fmt.Errorf("publish of %s: expected one image, found %s", archive, text)
	}
	if err != nil {
		return image{}, err
	}
	img := image{name: imageName(archive), ciq: imagePath(said.Images[0].PullName), size: said.Size}
	tag := s.b.path("registry", "docker", "registry", "v2", "repositories", img.name, "_manifests", "tags", "1")
	if _, err := os.Stat(tag); err == nil {
		return img, nil
	}
	s.b.say("pushing %s to docker-registry", img.name)
	_, err = output(s.publisher.m.Command(s.b.ctx, "skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false",
		"docker-archive:"+archive, "docker://127.0.0.1"+registryPort+"/"+img.name+":1"))
	return img, err
}

// publishing starts the publisher's server.
func (s *site) publishing() error {
	return s.publisher.serve(nil)
}

// their is the name under which docker-registry has an image.
func (s *site) their(img image) string {
	return s.publisher.m.IP + registryPort + "/" + img.name + ":1"
}

// our is the name under which a machine's own server has it.
func our(img image) string { return ourAddress + "/" + img.ciq + ":1" }

// timed runs fn and tells how long that took.
func timed(fn func() error) (time.Duration, error) {
	begin := time.Now()
	err := fn()
	return time.Since(begin), err
}
