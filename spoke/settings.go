package spoke

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/trust"
)

// settings are what a join manifest tells a spoke, and the policy of the cluster's owner. They are compared with ==.
type settings struct {
	Hub         string `json:"hub"` // host:port
	Cluster     string `json:"cluster"`
	TrustDomain string `json:"trustDomain"`
	CAPin       string `json:"caPin,omitempty"`
	SigningKeys string `json:"signingKeys"`        // PEM
	Replaces    string `json:"replaces,omitempty"` // the cluster that this one takes the place of
	Policy      string `json:"policy,omitempty"`   // YAML; empty: everything is allowed
}

// rules are what settings come to when they are checked.
type rules struct {
	keyring *signing.Keyring
	policy  trust.Policy
}

// load reads the settings. An error beside them says why they cannot be used.
func (c Config) load() (settings, error) {
	s, err := c.readSettings()
	_, checkErr := s.check()
	return s, errors.Join(err, checkErr)
}

// readSettings reads the settings: a field of the Config, or else the file of the settings folder, which has the names
// of the keys in the ConfigMap nave-spoke. A missing file is an empty setting, except for signing keys and policy that
// are named.
func (c Config) readSettings() (s settings, err error) {
	read := func(path string, required bool) string {
		text, readErr := os.ReadFile(path)
		if readErr != nil && (required || !errors.Is(readErr, fs.ErrNotExist)) {
			err = errors.Join(err, readErr)
		}
		return string(text)
	}
	setting := func(value, file string) string {
		if value != "" || c.ConfigDir == "" {
			return value
		}
		return strings.TrimSpace(read(filepath.Join(c.ConfigDir, file), false))
	}
	s = settings{
		Hub: setting(c.Hub, "hub"), Cluster: setting(c.Cluster, "cluster"), TrustDomain: setting(c.TrustDomain,
			"trust-domain"),
		CAPin: setting(c.CAPin, "ca-pin"), Replaces: setting(c.Replaces, "replaces"),
	}
	if c.SigningKeysFile != "" {
		s.SigningKeys = read(c.SigningKeysFile, true)
	} else {
		s.SigningKeys = setting("", "signing-keys.pem")
	}
	if c.PolicyFile != "" {
		if s.Policy = read(c.PolicyFile, true); err == nil && strings.TrimSpace(s.Policy) == "" {
			err = fmt.Errorf("policy %s is empty, which would allow everything: write {} if that is meant", c.PolicyFile)
		}
	}
	return s, err
}

// check returns the rules of the settings, or why they cannot be used.
func (s settings) check() (r rules, err error) {
	for _, required := range [][2]string{
		{"hub", s.Hub}, {"cluster", s.Cluster}, {"trust domain", s.TrustDomain},
	} {
		if required[1] == "" {
			return r, fmt.Errorf("no %s given", required[0])
		}
	}
	if _, _, err := net.SplitHostPort(s.Hub); err != nil {
		return r, fmt.Errorf("hub %q: want host:port: %w", s.Hub, err)
	}
	if _, err := identity.ParseID(s.id().String()); err != nil {
		return r, err
	}
	if s.SigningKeys == "" {
		return r, errors.New("no signing keys given")
	}
	keys, err := signing.ParsePublicKeys(s.SigningKeys)
	if err != nil {
		return r, fmt.Errorf("signing keys: %w", err)
	}
	if r.keyring, err = signing.NewKeyring(keys...); err != nil {
		return r, fmt.Errorf("signing keys: %w", err)
	}
	if s.Policy != "" {
		r.policy, err = trust.ParsePolicy([]byte(s.Policy))
	}
	return r, err
}

// id is the identity that this spoke has, or will ask for.
func (s settings) id() identity.ID {
	return identity.ID{TrustDomain: s.TrustDomain, Role: identity.Cluster, Name: s.Cluster}
}

// reconfigured ends Run when the settings changed.
type reconfigured struct{ to settings }

func (*reconfigured) Error() string { return "the settings changed" }

// watchSettings looks at the settings until ctx ends, and returns *reconfigured when they changed and can be used.
// Settings that cannot be used are reported, and the spoke keeps those that it has. A change counts once it has stood
// for a whole look: files of a ConfigMap do not change all at the same moment.
func (s *Spoke) watchSettings(ctx context.Context) error {
	tick := time.NewTicker(s.config.Look)
	defer tick.Stop()
	for before := s.given; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := s.config.load()
		s.refuse(err)
		if err == nil && now != s.given && now == before {
			s.config.Log.Info("the settings changed: starting anew with them")
			return &reconfigured{now}
		}
		before = now
	}
}

// refuse reports settings that cannot be used, once; nil takes an earlier report back.
func (s *Spoke) refuse(err error) {
	text := ""
	if err != nil {
		text = "new settings cannot be used, the spoke keeps those that it has: " + err.Error()
	}
	if old := s.refused.Swap(&text); *old == text || text == "" {
		return
	}
	s.config.Log.Error("new settings cannot be used, the spoke keeps those that it has", telemetry.Err(err))
	s.warn(condition.SettingsRefused, text)
}
