// Package plugin asks programs for credentials. Those of registries know the kubelet's credential provider plugins,
// which speak credentialprovider.kubelet.k8s.io/v1 on their standard input and output, as the clouds publish them, and
// Docker's credential helpers; those of Git repositories know Git's credential helpers. An operator of the hub chooses
// the programs. Nothing that a program prints is in an error.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/source"
)

const (
	configVersion = "kubelet.config.k8s.io/v1"
	configKind    = "CredentialProviderConfig"
	version       = "credentialprovider.kubelet.k8s.io/v1"
)

// config is a CredentialProviderConfig of the kubelet.
type config struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Providers  []provider `json:"providers"`
}

// provider is one program.
type provider struct {
	Name                 string           `json:"name"`        // of the program
	MatchImages          []string         `json:"matchImages"` // addresses of registries; labels may be *
	DefaultCacheDuration *metav1.Duration `json:"defaultCacheDuration"`
	APIVersion           string           `json:"apiVersion"`
	Args                 []string         `json:"args"`
	Env                  []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// Plugins are the programs of a hub. They may be used from several goroutines.
type Plugins struct {
	dir       string
	providers []provider
	now       func() time.Time
	cached    source.Kept[string, answer]
}

// answer is what a program said, and until when.
type answer struct {
	config source.DockerConfig
	until  time.Time
}

// Load reads a CredentialProviderConfig, in YAML or JSON, whose programs are in dir. The error names file and field.
func Load(file, dir string) (*Plugins, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("credential providers: %w", err)
	}
	var c config
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if c.APIVersion != configVersion || c.Kind != configKind {
		return nil, fmt.Errorf("%s: want apiVersion %s and kind %s", file, configVersion, configKind)
	}
	for i, p := range c.Providers {
		if err := p.check(dir); err != nil {
			return nil, fmt.Errorf("%s: providers[%d]: %w", file, i, err)
		}
	}
	return &Plugins{dir: dir, providers: c.Providers, now: time.Now}, nil
}

func (p provider) check(dir string) error {
	switch {
	case p.Name == "" || p.Name != filepath.Base(p.Name) || strings.Trim(p.Name, ".") == "":
		return fmt.Errorf("name %q is not the name of a program", p.Name)
	case p.APIVersion != version:
		return fmt.Errorf("apiVersion %q is not supported: want %s", p.APIVersion, version)
	case len(p.MatchImages) == 0:
		return errors.New("matchImages is missing")
	}
	_, err := os.Stat(filepath.Join(dir, p.Name))
	return err
}

// Credentials returns the credentials for an image, which is host/path or a URL, as a Secret with a Docker
// configuration. anew: the server refused the last ones, so what is kept is not returned. Errors are
// source.ErrAuthentication.
func (p *Plugins) Credentials(ctx context.Context, image string, anew bool) (source.Secret, error) {
	if _, address, isURL := strings.Cut(image, "://"); isURL {
		image = address
	}
	host, repository, _ := strings.Cut(image, "/")
	for _, provider := range p.providers {
		if !provider.matches(host, repository) {
			continue
		}
		config, known := p.kept(provider.Name, image, host)
		var err error
		if !known || anew {
			config, err = p.ask(ctx, provider, image, host)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: credential provider %s: %w", source.ErrAuthentication, provider.Name, err)
		}
		if _, ok := config.For(host, repository); ok {
			return config.Data()
		}
	}
	return nil, fmt.Errorf("%w: no credential provider of the hub has credentials for %s; add one to the file of "+
		"--credential-provider-config, or name a Secret in spec.secretRef", source.ErrAuthentication, host)
}

func (p provider) matches(host, repository string) bool {
	patterns := source.DockerConfig{}
	for _, pattern := range p.MatchImages {
		patterns[pattern] = authn.AuthConfig{}
	}
	_, ok := patterns.For(host, repository)
	return ok
}

// kept returns an answer that a program gave before, as long as it may be kept.
func (p *Plugins) kept(program, image, host string) (source.DockerConfig, bool) {
	for _, scope := range []string{image, host, ""} {
		if a, ok := p.known(program + " " + scope); ok {
			return a, true
		}
	}
	return nil, false
}

// ask returns the answer of a program, and keeps it as long as the program says.
func (p *Plugins) ask(ctx context.Context, provider provider, image, host string) (source.DockerConfig, error) {
	r, err := p.run(ctx, provider, image)
	if err != nil {
		return nil, err
	}
	config := source.DockerConfig{}
	for pattern, a := range r.Auth {
		config[pattern] = authn.AuthConfig{Username: a.Username, Password: a.Password}
	}
	scope, ok := map[string]string{"Image": image, "Registry": host, "Global": ""}[r.CacheKeyType]
	if !ok {
		return nil, fmt.Errorf("its answer has the cacheKeyType %q: want Image, Registry or Global", r.CacheKeyType)
	}
	duration := r.CacheDuration
	if duration == nil {
		duration = provider.DefaultCacheDuration
	}
	if duration != nil && duration.Duration > 0 {
		p.cached.Put(provider.Name+" "+scope, answer{config, p.now().Add(duration.Duration)})
	}
	return config, nil
}

func (p *Plugins) known(key string) (source.DockerConfig, bool) {
	a, ok := p.cached.Get(key)
	return a.config, ok && p.now().Before(a.until)
}

// response is a CredentialProviderResponse.
type response struct {
	APIVersion    string           `json:"apiVersion"`
	Kind          string           `json:"kind"`
	CacheKeyType  string           `json:"cacheKeyType"`
	CacheDuration *metav1.Duration `json:"cacheDuration"`
	Auth          map[string]struct {
		Username string `json:"username"`
		Password string `json:"password"`
	} `json:"auth"`
}

// run asks a program.
func (p *Plugins) run(ctx context.Context, provider provider, image string) (r response, err error) {
	request, err := json.Marshal(map[string]string{
		"apiVersion": version, "kind": "CredentialProviderRequest", "image": image,
	})
	if err != nil {
		return r, err
	}
	asked := program{path: filepath.Join(p.dir, provider.Name), args: provider.Args,
		byHand: fmt.Sprintf("echo '%s' | %s", request, strings.Join(append([]string{provider.Name}, provider.Args...), " "))}
	for _, e := range provider.Env {
		asked.env = append(asked.env, e.Name+"="+e.Value)
	}
	said, err := asked.ask(ctx, string(request))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(said, &r); err != nil {
		return r, errors.New("its answer is not JSON") // the text may hold a password
	}
	if r.APIVersion != version || r.Kind != "CredentialProviderResponse" {
		return r, fmt.Errorf("its answer is not a CredentialProviderResponse of %s", version)
	}
	return r, nil
}
