package plugin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/navefleet/nave/hub/internal/source"
)

// GitHelpers are commands that know the credentials of a cloud, by the provider that a source names (spec.provider).
// They speak the protocol of git's credential helpers.
type GitHelpers map[string][]string

// providers are the providers that need a helper.
var providers = []string{"aws", "azure"}

// ParseGitHelpers parses texts of the form PROVIDER=COMMAND. The words of a command are separated by spaces.
func ParseGitHelpers(texts []string) (GitHelpers, error) {
	helpers := GitHelpers{}
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

// Credentials returns the credentials for a URL that the helper for a provider gives. Errors are
// source.ErrAuthentication.
func (h GitHelpers) Credentials(ctx context.Context, provider, address string) (source.Secret, error) {
	command := h[provider]
	if command == nil {
		return nil, fmt.Errorf("%w: spec.provider is %s, and this hub has no credential helper for it: start nave-hub with "+
			"--git-credential-helper %s=COMMAND, or name a Secret in spec.secretRef and remove spec.provider",
			source.ErrAuthentication, provider, provider)
	}
	found, err := askGit(ctx, command, address)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: the credential helper for %s: %w", source.ErrAuthentication, provider, err)
	}
	return found, err
}

// askGit asks a helper, which reads attributes of the server and writes others ("key=value" lines, see git help
// credential).
func askGit(ctx context.Context, command []string, address string) (source.Secret, error) {
	u, err := url.Parse(address)
	if err != nil || strings.ContainsFunc(u.Path, unicode.IsControl) {
		return nil, errors.New("spec.url cannot be asked for")
	}
	path := strings.TrimPrefix(u.Path, "/")
	said, err := program{path: command[0], args: append(slices.Clone(command[1:]), "get"),
		byHand: fmt.Sprintf(`printf 'protocol=%s\nhost=%s\npath=%s\n\n' | %s get`, u.Scheme, u.Host, path,
			strings.Join(command, " "))}.ask(ctx, fmt.Sprintf("protocol=%s\nhost=%s\npath=%s\n\n", u.Scheme, u.Host, path))
	if err != nil {
		return nil, err
	}
	found := source.Secret{}
	for lines := bufio.NewScanner(bytes.NewReader(said)); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), "="); key == "username" || key == "password" {
			found[key] = []byte(value)
		}
	}
	if len(found["username"]) == 0 || len(found["password"]) == 0 {
		return nil, errors.New("it gave no username and password")
	}
	return found, nil
}
