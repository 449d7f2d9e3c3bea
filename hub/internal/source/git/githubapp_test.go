package git_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

// appToken is what the scripted GitHub gives out, and its Git server wants as a password.
const appToken = "ghs_canary0123456789"

// github is the far side of GitHub's API: an App with ID 42, installed as 7 at the organisation "org" and the user
// "jo".
type github struct {
	*httptest.Server
	key    *rsa.PrivateKey
	mu     sync.Mutex
	calls  []string
	issuer string
	life   time.Duration
}

func newGitHub(t *testing.T) *github {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &github{key: key, issuer: "42", life: time.Hour}
	g.Server = httptest.NewTLSServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *github) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, r.Method+" "+r.URL.Path)
	if err := g.checkProof(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")); err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"message": err.Error() + forged})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v3/orgs/org/installation", "GET /api/v3/users/jo/installation":
		_, _ = fmt.Fprint(w, `{"id": 7, "account": {"login": "org"}}`)
	case "POST /api/v3/app/installations/7/access_tokens":
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": appToken, "expires_at": time.Now().Add(g.life)})
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"message": "Not Found"}`)
	}
}

// checkProof checks a JWT as GitHub does.
func (g *github) checkProof(proof string) error {
	parts := strings.Split(proof, ".")
	if len(parts) != 3 {
		return errors.New("A JSON web token could not be decoded")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err != nil || rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return errors.New("wrong signature")
	}
	var claims struct {
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
		Issuer  string `json:"iss"`
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	now := time.Now().Unix()
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Issuer != g.issuer || claims.Issued > now ||
		claims.Expires <= now || claims.Expires > now+600 {
		return fmt.Errorf("wrong claims: %s", text)
	}
	return nil
}

func (g *github) seen() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := strings.Join(g.calls, ", ")
	g.calls = nil
	return seen
}

// secret returns a Secret with Flux's keys, changed; an empty value takes a key away.
func (g *github) secret(changes map[string]string) map[string]string {
	secret := map[string]string{
		"githubAppID": "42", "githubAppInstallationID": "7", "githubAppBaseURL": g.URL + "/api/v3/",
		"githubAppPrivateKey": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY",
			Bytes: x509.MarshalPKCS1PrivateKey(g.key)})),
		"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})),
	}
	maps.Copy(secret, changes)
	maps.DeleteFunc(secret, func(_, value string) bool { return value == "" })
	return secret
}

func TestGitHubApp(t *testing.T) {
	g := newGitHub(t)
	w := newWorld(t, gittest.Options{Username: "x-access-token", Password: appToken})
	w.commit(map[string]string{"a": "1"})
	const token = "POST /api/v3/app/installations/7/access_tokens"
	der, err := x509.MarshalPKCS8PrivateKey(g.key)
	w.do(err)
	for name, c := range map[string]struct {
		changes map[string]string
		issuer  string
		calls   string
	}{
		"id":        {nil, "42", token},
		"client_id": {map[string]string{"githubAppClientID": "Iv1.abc"}, "Iv1.abc", token},
		"pkcs8": {map[string]string{"githubAppPrivateKey": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY",
			Bytes: der}))}, "42", token},
		"organisation": {map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "org"}, "42",
			"GET /api/v3/orgs/org/installation, " + token},
		"user": {map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "jo"}, "42",
			"GET /api/v3/orgs/jo/installation, GET /api/v3/users/jo/installation, " + token},
	} {
		t.Run(name, func(t *testing.T) {
			g.issuer = c.issuer
			w := &world{T: t, repo: w.repo, fetcher: newFetcher(t.TempDir())}
			req := w.main()
			req.Provider, req.Secret = "github", g.secret(c.changes)
			w.fetcher.holds(t, w.fetch(req, nil), map[string]string{"a": "1"})
			if calls := g.seen(); calls != c.calls {
				t.Errorf("called %s, want %s", calls, c.calls)
			}
		})
	}
}

// TestGitHubApp_tokens keeps a token until it ends, or is not accepted any more.
func TestGitHubApp_tokens(t *testing.T) {
	g := newGitHub(t)
	var revoked bool
	w := newWorld(t, gittest.Options{Username: "x-access-token", Password: appToken,
		Wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if revoked {
					http.Error(w, "revoked", http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r)
			})
		}})
	w.commit(map[string]string{"a": "1"})
	w.fetcher.Tokens = &git.Tokens{}
	req := w.main()
	req.Provider, req.Secret = "github", g.secret(nil)
	count := func(want int) {
		t.Helper()
		if calls := g.seen(); strings.Count(calls, "POST") != want {
			t.Errorf("calls %q, want %d for tokens", calls, want)
		}
	}
	first := w.fetch(req, nil)
	w.fetch(req, &first)
	count(1)
	revoked = true
	w.fails(req, source.ErrAuthentication, "401")
	count(0)
	revoked = false
	w.fetch(req, &first)
	count(1)
	g.life = 4 * time.Minute // so short a token is not kept
	req.Secret["githubAppBaseURL"] += "/"
	w.fetch(req, nil)
	w.fetch(req, nil)
	count(2)
}

func TestGitHubApp_refused(t *testing.T) {
	g := newGitHub(t)
	w := newWorld(t, gittest.Options{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusForbidden)
		})
	}})
	other := newGitHub(t)
	for name, c := range map[string]struct {
		changes map[string]string
		want    error
		text    string
	}{
		"no_id":           {map[string]string{"githubAppID": ""}, source.ErrAuthentication, "githubAppID or githubAppClientID"},
		"no_installation": {map[string]string{"githubAppInstallationID": ""}, source.ErrAuthentication, "is missing"},
		"both":            {map[string]string{"githubAppInstallationOwner": "org"}, source.ErrAuthentication, "exclude each other"},
		"installation":    {map[string]string{"githubAppInstallationID": "../1"}, source.ErrAuthentication, "not a number"},
		"other_installation": {map[string]string{"githubAppInstallationID": "8"}, source.ErrAuthentication,
			"githubAppInstallationID"},
		"other_owner": {map[string]string{"githubAppInstallationID": "", "githubAppInstallationOwner": "x/../y"},
			source.ErrAuthentication, "not installed at"},
		"other_key": {map[string]string{"githubAppPrivateKey": other.secret(nil)["githubAppPrivateKey"]},
			source.ErrAuthentication, "wrong signature"},
		"no_key":   {map[string]string{"githubAppPrivateKey": "x"}, source.ErrAuthentication, "PEM"},
		"base_url": {map[string]string{"githubAppBaseURL": "file:///etc"}, source.ErrAuthentication, "githubAppBaseURL"},
		"web_page": {map[string]string{"githubAppBaseURL": g.URL}, source.ErrAuthentication, "githubAppBaseURL"},
		"no_ca":    {map[string]string{"ca.crt": ""}, source.ErrUntrusted, "ca.crt"},
		"git":      {nil, source.ErrAuthentication, "403"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, repo: w.repo, fetcher: w.fetcher}
			req := w.main()
			req.Provider, req.Secret = "github", g.secret(c.changes)
			w.fails(req, c.want, c.text)
			_, err := w.fetcher.Fetch(t.Context(), req, nil)
			isFit(t, err)
		})
	}
	req := w.main()
	req.Secret = g.secret(nil)
	w.fails(req, source.ErrAuthentication, "set spec.provider to github")
}

// TestGitHubApp_concealed has a Git server that repeats the token, which the hub's process does not know.
func TestGitHubApp_concealed(t *testing.T) {
	g := newGitHub(t)
	w := newWorld(t, gittest.Options{Wrap: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, password, _ := r.BasicAuth()
			smart(advertisement(pktLine("ERR your token is "+password+"\n")), "")(w, r)
		})
	}})
	req := w.main()
	req.Provider, req.Secret = "github", g.secret(nil)
	_, err := w.fetcher.Fetch(t.Context(), req, nil)
	if err == nil || strings.Contains(err.Error(), appToken) || !strings.Contains(err.Error(), "your token is") {
		t.Errorf("got %v", err)
	}
}
