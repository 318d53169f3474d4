package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Credentials gives those for a repository of the registry at host; the empty
// credential where there are none.
type Credentials func(ctx context.Context, host, repository string) (auth.Credential, error)

// Stored are the credentials that docker login and podman login have stored: in
// ~/.docker/config.json or $DOCKER_CONFIG, with the helpers that it names, and in
// podman's auth.json, where they may be those of some repositories only. The first
// that has any for a registry counts; a helper that fails is an error where none has.
func Stored() (Credentials, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "" // a service may have none
	}
	return storedIn(credentialFiles(os.Getenv, home, os.Getuid()))
}

// credentialFiles are where credentials may be by the environment of a user, in the
// order in which they count.
func credentialFiles(env func(string) string, home string, uid int) []string {
	var files []string
	if dir := env("DOCKER_CONFIG"); dir != "" {
		files = append(files, filepath.Join(dir, "config.json"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".docker", "config.json"))
	}
	if file := env("REGISTRY_AUTH_FILE"); file != "" {
		return append(files, file)
	}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	}
	if uid >= 0 {
		files = append(files, filepath.Join("/run/containers", strconv.Itoa(uid), "auth.json"))
	}
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "containers", "auth.json"))
	}
	return files
}

// storedIn reads files of credentials, those that are there.
func storedIn(files []string) (Credentials, error) {
	var stores []*credentials.DynamicStore
	for _, file := range files {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		store, err := credentials.NewStore(file, credentials.StoreOptions{})
		if err != nil {
			return nil, fmt.Errorf("credentials in %s: %w", file, err)
		}
		stores = append(stores, store)
	}
	return func(ctx context.Context, host, repository string) (auth.Credential, error) {
		var failed error // what a helper says, which counts where no other file has any
		for _, store := range stores {
			for _, key := range credentialKeys(host, repository) {
				found, err := store.Get(ctx, key)
				if err != nil {
					failed = cmp.Or(failed, fmt.Errorf("credentials for %s by %s: %w", key, store.ConfigPath(), err))
					break
				}
				if found != auth.EmptyCredential {
					return found, nil
				}
			}
		}
		return auth.EmptyCredential, failed
	}, nil
}

// credentialKeys are what the credentials for a repository may be stored under, the
// closest first (containers-auth.json(5), "FORMAT").
func credentialKeys(host, repository string) (keys []string) {
	hosts := []string{host}
	if server := credentials.ServerAddressFromHostname(host); server != host { // Docker Hub
		hosts = []string{"docker.io", server}
	}
	for p := repository; p != "." && p != "/" && p != ""; p = path.Dir(p) {
		keys = append(keys, hosts[0]+"/"+p)
	}
	return append(keys, hosts...)
}
