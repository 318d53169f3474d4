package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is what a server answered under load.
type load struct {
	rate     float64 // answers a second
	p50, p99 time.Duration
	status   int
}

var accepted = []string{
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}

// clients counts requests: who asks again for what it was redirected to is served,
// so each is another client's.
var clients atomic.Int64

func request(ctx context.Context, url string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err == nil {
		req.Header["Accept"] = accepted
		req.Header.Set("User-Agent", fmt.Sprint("bench/", clients.Add(1)))
	}
	return req, err
}

// loadFor asks for a URL over n connections for a time.
func loadFor(ctx context.Context, url string, n int, length time.Duration) (load, error) {
	client := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: n},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		times  []time.Duration
		failed error
		status int
	)
	end := time.Now().Add(length)
	for range n {
		wait.Go(func() {
			var mine []time.Duration
			var got int
			var err error
			for err == nil && time.Now().Before(end) {
				begin := time.Now()
				got, err = get(ctx, client, url)
				mine = append(mine, time.Since(begin))
			}
			mu.Lock()
			defer mu.Unlock()
			times, status = append(times, mine...), got
			if err != nil {
				failed = err
			}
		})
	}
	wait.Wait()
	if failed != nil {
		return load{}, failed
	}
	slices.Sort(times)
	return load{rate: float64(len(times)) / length.Seconds(), p50: times[len(times)/2], p99: times[len(times)*99/100], status: status}, nil
}

func get(ctx context.Context, client *http.Client, url string) (status int, err error) {
	req, err := request(ctx, url)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return 0, fmt.Errorf("%s: %s", url, resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func medianLoad(loads []load) load {
	var rates []float64
	var p50, p99 []time.Duration
	for _, l := range loads {
		rates, p50, p99 = append(rates, l.rate), append(p50, l.p50), append(p99, l.p99)
	}
	return load{median(rates), median(p50), median(p99), loads[0].status}
}

// theirDigests asks a registry for the digests of an image's manifest and config.
func theirDigests(addr, name string) (manifest, config string, err error) {
	req, err := request(context.Background(), "http://"+addr+"/v2/"+name+"/manifests/1")
	if err != nil {
		return "", "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", "", err
	}
	resp.Body.Close()
	manifest = resp.Header.Get("Docker-Content-Digest")
	config, err = configDigest("http://" + addr + "/v2/" + name + "/manifests/" + manifest)
	return manifest, config, err
}

func configDigest(url string) (string, error) {
	req, err := request(context.Background(), url)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var m struct{ Config struct{ Digest string } }
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || m.Config.Digest == "" {
		return "", fmt.Errorf("%s: %s, no manifest: %w", url, resp.Status, err)
	}
	return m.Config.Digest, nil
}

func fetchTo(ctx context.Context, url, path string) error {
	req, err := request(ctx, url)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
