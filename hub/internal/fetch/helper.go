package fetch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/navefleet/nave/hub/internal/source"
)

const (
	helperTime   = 30 * time.Second // that a credential helper may take
	helperOutput = 64 << 10         // bytes of its output that are read
)

// Helpers are commands that know the credentials of a cloud, by the provider that a source names (spec.provider). They
// speak the protocol of git's credential helpers.
type Helpers map[string][]string

// providers are the providers that need a helper.
var providers = []string{"aws", "azure"}

// ParseHelpers parses texts of the form PROVIDER=COMMAND. The words of a command are separated by spaces.
func ParseHelpers(texts []string) (Helpers, error) {
	helpers := Helpers{}
	for _, text := range texts {
		provider, command, _ := strings.Cut(text, "=")
		words := strings.Fields(command)
		if !slices.Contains(providers, provider) || len(words) == 0 {
			return nil, fmt.Errorf("%q is not PROVIDER=COMMAND with one of the providers %s", text,
				strings.Join(providers, ", "))
		}
		if helpers[provider] != nil {
			return nil, fmt.Errorf("%s has two credential helpers", provider)
		}
		helpers[provider] = words
	}
	return helpers, nil
}

// assist returns the credentials of the hub's own cloud identity for a source. Only operators' sources get some: such
// an identity may read what no tenant may.
func (l *Loop) assist(ctx context.Context, s *scheduled) (source.Secret, error) {
	provider := s.server.view.Provider
	command := l.Helpers[provider]
	switch {
	case s.server.bound:
		return nil, fmt.Errorf("%w: spec.provider %s would give this source the hub's own cloud identity, which only "+
			"sources that operators apply to the hub may use; name a Secret in spec.secretRef instead", source.ErrAccess,
			provider)
	case command == nil:
		return nil, fmt.Errorf("%w: spec.provider is %s, and this hub has no credential helper for it: start nave-hub with "+
			"--git-credential-helper %s=COMMAND, or name a Secret in spec.secretRef and remove spec.provider",
			source.ErrAuthentication, provider, provider)
	}
	found, err := askHelper(ctx, command, s.server.view.URL)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the credential helper for %s: %w", source.ErrAuthentication, provider, err)
	}
	return found, err
}

// askHelper runs a helper, which reads attributes of the server and writes others ("key=value" lines, see git help
// credential).
func askHelper(ctx context.Context, command []string, address string) (source.Secret, error) {
	u, err := url.Parse(address)
	if err != nil || strings.ContainsFunc(u.Path, unicode.IsControl) {
		return nil, errors.New("spec.url cannot be asked for")
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], append(slices.Clone(command[1:]), "get")...)
	cmd.Stdin = strings.NewReader(fmt.Sprintf("protocol=%s\nhost=%s\npath=%s\n\n", u.Scheme, u.Host,
		strings.TrimPrefix(u.Path, "/")))
	var out, problem limited
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &problem, time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer in %s", helperTime)
		}
		return nil, fmt.Errorf("%w; it says %s", err, source.Quote(string(problem)))
	}
	found := source.Secret{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), "="); key == "username" || key == "password" {
			found[key] = []byte(value)
		}
	}
	if len(found["username"]) == 0 || len(found["password"]) == 0 {
		return nil, errors.New("it gave no username and password")
	}
	return found, nil
}

// limited keeps the first bytes that are written to it.
type limited []byte

func (l *limited) Write(p []byte) (int, error) {
	*l = append(*l, p[:min(helperOutput-len(*l), len(p))]...)
	return len(p), nil
}
