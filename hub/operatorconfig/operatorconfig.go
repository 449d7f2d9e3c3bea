// Package operatorconfig reads and writes the file with an operator's contexts: hubs and the certificates to reach them
// with, as in a kubeconfig. The hub writes one on its first start; the CLI reads $NAVE_CONFIG or ~/.config/nave/config.
// The file has private keys, so that it is always written with mode 0600.
package operatorconfig

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/shared/durable"
	"github.com/navefleet/nave/shared/identity"
)

// envPath is the environment variable that names the file.
const envPath = "NAVE_CONFIG"

// maxSize bounds the file; a context takes about 4 KiB.
const maxSize = 1 << 20

// Config is the content of the file.
type Config struct {
	CurrentContext string    `json:"current-context"`
	Contexts       []Context `json:"contexts"`
}

// Context is one hub and one operator's identity there. The data fields are PEM; the file shows them in base64.
type Context struct {
	Name                     string `json:"name"`
	Hub                      string `json:"hub"` // host:port
	CertificateAuthorityData []byte `json:"certificate-authority-data"`
	ClientCertificateData    []byte `json:"client-certificate-data"`
	ClientKeyData            []byte `json:"client-key-data"`
}

// DefaultPath returns $NAVE_CONFIG, or else nave/config in the user's configuration folder (~/.config on Linux).
func DefaultPath() (string, error) {
	if path := os.Getenv(envPath); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the operator configuration: %w; set %s", err, envPath)
	}
	return filepath.Join(dir, "nave", "config"), nil
}

// HasDefault reports whether DefaultPath is that of the environment variable, or of something that exists.
func HasDefault() bool {
	path, err := DefaultPath()
	if err == nil && os.Getenv(envPath) == "" {
		_, err = os.Lstat(path)
	}
	return err == nil
}

// Load returns the content of the file at path. An unknown field is an error, because it may be misspelt.
func Load(path string) (*Config, error) {
	c, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `nave-hub operator-config` prints one, and a hub keeps its first as operator.yaml in its "+
			"--data-dir; name another file with --config or %s", err, envPath)
	}
	if err != nil {
		return nil, fmt.Errorf("read operator configuration: %w", err)
	}
	return c, nil
}

func load(path string) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", path, info.Size(), maxSize)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// parse returns the content of a file from its bytes.
func parse(data []byte) (*Config, error) {
	c := &Config{}
	if err := yaml.UnmarshalStrict(data, c); err != nil {
		return nil, fmt.Errorf("not an operator configuration: %w; `nave-hub operator-config` prints one", err)
	}
	seen := map[string]bool{}
	for _, x := range c.Contexts {
		if x.Name == "" || x.Hub == "" {
			return nil, fmt.Errorf("context %q: name and hub must be set", x.Name)
		}
		if seen[x.Name] {
			return nil, fmt.Errorf("context %q exists twice", x.Name)
		}
		seen[x.Name] = true
	}
	return c, nil
}

// Context returns the context with the name. If name is empty, Context returns the current one. If the context does not
// exist, Context returns an error.
func (c *Config) Context(name string) (*Context, error) {
	name = cmp.Or(name, c.CurrentContext)
	i := slices.IndexFunc(c.Contexts, func(x Context) bool { return x.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("context %q does not exist in the operator configuration", name)
	}
	return &c.Contexts[i], nil
}

// Save writes the file with mode 0600, whole or not at all. If its folder is missing, Save makes it.
func (c *Config) Save(path string) error {
	data, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write operator configuration: %w", err)
	}
	if err := durable.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write operator configuration: %w", err)
	}
	return nil
}

// Validity returns from when to when the operator's certificate is valid.
func (x *Context) Validity() (from, to time.Time, err error) {
	chain, err := identity.ParseCertificates(x.ClientCertificateData)
	if err != nil {
		return from, to, fmt.Errorf("context %q: client-certificate-data: %w", x.Name, err)
	}
	return chain[0].NotBefore, chain[0].NotAfter, nil
}

// TLS returns the configuration of a client that reaches the hub as this operator. The certificate of the server must
// be a hub's and come from the context's authority; host names do not matter.
func (x *Context) TLS() (*tls.Config, error) {
	authorities, err := identity.ParseCertificates(x.CertificateAuthorityData)
	if err != nil {
		return nil, fmt.Errorf("context %q: certificate-authority-data: %w", x.Name, err)
	}
	pair, err := tls.X509KeyPair(x.ClientCertificateData, x.ClientKeyData)
	if err != nil {
		return nil, fmt.Errorf("context %q: client certificate: %w", x.Name, err)
	}
	self, err := identity.FromCertificate(pair.Leaf)
	if err != nil {
		return nil, fmt.Errorf("context %q: client certificate: %w", x.Name, err)
	}
	credential := &identity.Credential{}
	credential.Set(pair, authorities)
	return identity.ClientTLS(credential, identity.ID{TrustDomain: self.TrustDomain}), nil
}
