package membership

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// Settings are the settings of a join manifest and the policy of the cluster's owner. They are compared with ==.
type Settings struct {
	Hub         string `json:"hub"` // host:port
	Cluster     string `json:"cluster"`
	TrustDomain string `json:"trustDomain"`
	CAPin       string `json:"caPin,omitempty"`
	SigningKeys string `json:"signingKeys"`        // PEM
	Replaces    string `json:"replaces,omitempty"` // the cluster that this one replaces
	Policy      string `json:"policy,omitempty"`   // YAML; empty: everything is allowed
}

// Rules are the checked and decoded parts of Settings.
type Rules struct {
	SigningKeys []ed25519.PublicKey // at least one
	Policy      trust.Policy
}

// Sources are the places that Settings are read from: a field here, or else the file in ConfigDir with the name of a
// key in the ConfigMap nave-spoke.
type Sources struct {
	ConfigDir       string // where the ConfigMap is mounted; empty: no files
	Hub             string // host:port. Required, here or as file hub
	Cluster         string // this cluster's name at the hub. Required, here or as file cluster
	TrustDomain     string // SPIFFE trust domain of the hub. Required, here or as file trust-domain
	CAPin           string // sha256:… of the hub's authority, for joining; file ca-pin
	Replaces        string // the cluster that this one replaces; file replaces
	SigningKeysFile string // PEM PUBLIC KEY blocks that sign bundles. Required, here or as file signing-keys.pem
	PolicyFile      string // limits what bundles may do here; empty: they may do everything
}

// Load reads the Settings. If they cannot be used, Load returns them with an error.
func (f Sources) Load() (Settings, error) {
	s, err := f.read()
	_, checkErr := s.Check()
	return s, errors.Join(err, checkErr)
}

// read reads the Settings. A missing file is an empty setting, except for signing keys and policy that are named.
func (f Sources) read() (s Settings, err error) {
	read := func(path string, required bool) string {
		text, readErr := os.ReadFile(path)
		if readErr != nil && (required || !errors.Is(readErr, fs.ErrNotExist)) {
			err = errors.Join(err, readErr)
		}
		return string(text)
	}
	setting := func(value, file string) string {
		if value != "" || f.ConfigDir == "" {
			return value
		}
		return strings.TrimSpace(read(filepath.Join(f.ConfigDir, file), false))
	}
	s = Settings{
		Hub: setting(f.Hub, "hub"), Cluster: setting(f.Cluster, "cluster"),
		TrustDomain: setting(f.TrustDomain, "trust-domain"),
		CAPin:       setting(f.CAPin, "ca-pin"), Replaces: setting(f.Replaces, "replaces"),
	}
	if f.SigningKeysFile != "" {
		s.SigningKeys = read(f.SigningKeysFile, true)
	} else {
		s.SigningKeys = setting("", "signing-keys.pem")
	}
	if f.PolicyFile != "" {
		if s.Policy = read(f.PolicyFile, true); err == nil && strings.TrimSpace(s.Policy) == "" {
			err = fmt.Errorf("policy %s is empty, which would allow everything: write {} if that is meant", f.PolicyFile)
		}
	}
	return s, err
}

// Check returns the Rules of the Settings. If the Settings cannot be used, Check returns an error.
func (s Settings) Check() (r Rules, err error) {
	for _, required := range [][2]string{
		{"hub", s.Hub}, {"cluster", s.Cluster}, {"trust domain", s.TrustDomain},
	} {
		if required[1] == "" {
			return r, fmt.Errorf("no %s given", required[0])
		}
	}
	if err := identity.CheckAddress(s.Hub); err != nil {
		return r, fmt.Errorf("hub: %w", err)
	}
	if s.CAPin != "" {
		if err := identity.CheckPin(s.CAPin); err != nil {
			return r, fmt.Errorf("ca-pin: %w", err)
		}
	}
	if _, err := identity.ParseID(s.ID().String()); err != nil {
		return r, err
	}
	if s.SigningKeys == "" {
		return r, errors.New("no signing keys given")
	}
	if r.SigningKeys, err = signing.ParsePublicKeys(s.SigningKeys); err != nil {
		return r, fmt.Errorf("signing keys: %w", err)
	}
	if s.Policy != "" {
		r.Policy, err = trust.ParsePolicy([]byte(s.Policy))
	}
	return r, err
}

// ID returns the identity that the spoke has with these Settings, or will ask for.
func (s Settings) ID() identity.ID {
	return identity.ID{TrustDomain: s.TrustDomain, Role: identity.Cluster, Name: s.Cluster}
}
