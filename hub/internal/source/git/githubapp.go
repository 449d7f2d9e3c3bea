package git

import (
	"bytes"
	"cmp"
	"context"
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
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	githubAPI     = "https://api.github.com"
	githubUser    = "x-access-token" // the user name beside a token
	jwtLife       = 9 * time.Minute  // GitHub allows ten
	clockSkew     = time.Minute
	tokenReserve  = 5 * time.Minute // a token that ends sooner is replaced
	maxAPIAnswer  = 1 << 20         // bytes
	githubMessage = "spec.provider is github: "
)

// githubApp is the identity of a GitHub App, from a Secret with Flux's keys.
type githubApp struct {
	issuer       string // the App's ID or client ID
	key          *rsa.PrivateKey
	installation string // its ID, or
	owner        string // the organisation or user that has the App installed
	api          *url.URL
}

// readGitHubApp reads a Secret. Errors name the key.
func readGitHubApp(data source.Secret) (app githubApp, err error) {
	value := func(key string) string { return strings.TrimSpace(string(data[key])) }
	app.issuer = cmp.Or(value("githubAppClientID"), value("githubAppID"))
	app.installation, app.owner = value("githubAppInstallationID"), value("githubAppInstallationOwner")
	switch {
	case app.issuer == "":
		return app, errors.New("githubAppID or githubAppClientID is missing")
	case app.installation == "" && app.owner == "":
		return app, errors.New("githubAppInstallationID or githubAppInstallationOwner is missing")
	case app.installation != "" && app.owner != "":
		return app, errors.New("githubAppInstallationID and githubAppInstallationOwner exclude each other")
	case app.installation != "":
		if _, err := strconv.ParseUint(app.installation, 10, 64); err != nil {
			return app, errors.New("githubAppInstallationID is not a number")
		}
	}
	app.api, err = url.Parse(cmp.Or(value("githubAppBaseURL"), githubAPI))
	if err != nil || app.api.Scheme != "https" && app.api.Scheme != "http" || app.api.Hostname() == "" {
		return app, errors.New("githubAppBaseURL is not a URL such as https://HOST/api/v3")
	}
	app.key, err = readRSA(data["githubAppPrivateKey"])
	return app, err
}

// readRSA reads an RSA key in PEM, as GitHub gives it (PKCS #1) or as others write it (PKCS #8).
func readRSA(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("githubAppPrivateKey has no private key in PEM form")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	found, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := found.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("githubAppPrivateKey is not an RSA key")
	}
	return key, nil
}

// jwt returns a token that proves to be the App (RFC 7519, RS256).
func (app githubApp) jwt(now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iat": now.Add(-clockSkew).Unix(), "exp": now.Add(jwtLife - clockSkew).Unix(), "iss": app.issuer,
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, app.key, crypto.SHA256, sum[:])
	return text + "." + encode(signature), err
}

// token is a credential of an installation.
type token struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// Tokens keeps the tokens of GitHub Apps in memory until they end. It may be used from several goroutines.
type Tokens struct {
	found source.Kept[[sha256.Size]byte, token] // by the Secret
}

// get returns a token that is valid for a while.
func (t *Tokens) get(id [sha256.Size]byte, now time.Time) (token, bool) {
	if t == nil {
		return token{}, false
	}
	found, ok := t.found.Get(id)
	return found, ok && now.Add(tokenReserve).Before(found.Expires)
}

func (t *Tokens) put(id [sha256.Size]byte, new token) {
	if t != nil {
		t.found.Put(id, new)
	}
}

func (t *Tokens) drop(id [sha256.Size]byte) {
	if t != nil {
		t.found.Drop(id)
	}
}

// logIn puts what a credential helper gave, or the token of a GitHub App, in the place of the credentials. The token is
// in no Secret of the hub's, so the caller conceals it in errors.
func (f *fetching) logIn(ctx context.Context) error {
	data := f.Secrets[secretField]
	if given, ok := f.Secrets[source.ProviderField]; ok {
		f.replace(given["username"], given["password"])
		return nil
	}
	isApp := IsGitHubApp(data)
	switch {
	case f.spec.Provider != "github" && isApp:
		return source.SecretError(errors.New("it has githubAppPrivateKey: set spec.provider to github"))
	case f.spec.Provider != "github":
		return nil
	case f.url.Scheme == "ssh":
		return fmt.Errorf("%w: %suse an https URL", source.ErrRequest, githubMessage)
	}
	app, err := readGitHubApp(data)
	if err != nil {
		return source.SecretError(err)
	}
	text, _ := json.Marshal(data) // byte slices: marshalling them cannot fail
	f.tokenID = sha256.Sum256(text)
	found, ok := f.tokens.get(f.tokenID, time.Now())
	if !ok {
		if found, err = f.askToken(ctx, app); err != nil {
			return fmt.Errorf("GitHub App %s: %w", app.issuer, source.Classify(err, classify))
		}
		f.tokens.put(f.tokenID, found)
	}
	f.replace([]byte(githubUser), []byte(found.Token))
	return nil
}

// IsGitHubApp reports whether a Secret is that of a GitHub App.
func IsGitHubApp(data source.Secret) bool { return len(data["githubAppPrivateKey"]) > 0 }

// AppToken returns a token of the GitHub App of a Secret, which a field names, for calls of the API at an address. The
// request has what the API is reached with. The caller conceals the token in errors.
func AppToken(ctx context.Context, r source.Request, field string, data source.Secret, api *url.URL) (string, error) {
	app, err := readGitHubApp(data)
	if err == nil && !source.SameOrigin(app.api, api) {
		err = fmt.Errorf("githubAppBaseURL leads to %s, and the API of the pull requests is at %s", app.api.Host, api.Host)
	}
	if err != nil {
		return "", source.FieldSecretError(field, err)
	}
	found, err := (&fetching{Request: r}).askToken(ctx, app)
	if err != nil {
		return "", fmt.Errorf("GitHub App %s: %w", app.issuer, source.Classify(err, classify))
	}
	return found.Token, nil
}

// replace puts credentials into the place of those in the Secret.
func (f *fetching) replace(username, password []byte) {
	ca := f.Secrets[secretField].Authority()
	f.Secrets = maps.Clone(f.Secrets)
	f.Secrets[secretField] = source.Secret{"username": username, "password": password, "ca.crt": ca}
}

// askToken asks GitHub for a token of the installation.
func (f *fetching) askToken(ctx context.Context, app githubApp) (found token, err error) {
	access := f.Request
	access.Secrets = maps.Clone(f.Secrets)
	access.Secrets[secretField] = source.Secret{"ca.crt": f.Secrets[secretField].Authority()}
	client, err := access.HTTP(app.api)
	if err != nil {
		return found, err
	}
	defer client.CloseIdleConnections()
	proof, err := app.jwt(time.Now())
	if err != nil {
		return found, source.SecretError(err)
	}
	ask := apiClient{client, app.api, proof}
	if app.installation == "" {
		if app.installation, err = ask.installation(ctx, app.owner); err != nil {
			return found, err
		}
	}
	err = ask.do(ctx, http.MethodPost, "/app/installations/"+app.installation+"/access_tokens", &found)
	if err == nil && (found.Token == "" || !found.Expires.After(time.Now())) {
		err = fmt.Errorf("%w: the API's answer has no valid token", source.ErrProtocol)
	}
	return found, err
}

// apiClient asks the API of GitHub as an App.
type apiClient struct {
	*http.Client
	base  *url.URL
	proof string
}

// installation returns the ID of the App's installation at an organisation, or at a user.
func (c apiClient) installation(ctx context.Context, owner string) (string, error) {
	var found struct {
		ID uint64 `json:"id"`
	}
	err := c.do(ctx, http.MethodGet, "/orgs/"+url.PathEscape(owner)+"/installation", &found)
	if errors.Is(err, errNotThere) {
		err = c.do(ctx, http.MethodGet, "/users/"+url.PathEscape(owner)+"/installation", &found)
	}
	if errors.Is(err, errNotThere) {
		err = fmt.Errorf("%w: the App is not installed at %q (githubAppInstallationOwner)", source.ErrAuthentication, owner)
	}
	return strconv.FormatUint(found.ID, 10), err
}

// errNotThere is the API's answer 404.
var errNotThere = errors.New("the API answers 404 Not Found")

// do sends a request and decodes the answer.
func (c apiClient) do(ctx context.Context, method, path string, into any) error {
	address := strings.TrimRight(c.base.String(), "/") + path
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(nil))
	if err != nil {
		return fmt.Errorf("%w: githubAppBaseURL: %w", source.ErrRequest, err)
	}
	r.Header.Set("Authorization", "Bearer "+c.proof)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("User-Agent", userAgent)
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(artifact.Bound(res.Body, maxAPIAnswer, "the API's answer"))
	if err != nil {
		return err
	}
	return readAnswer(res, text, into)
}

func readAnswer(res *http.Response, text []byte, into any) error {
	var answer struct {
		Message string `json:"message"`
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusCreated:
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("%w: the API's answer is not JSON; check githubAppBaseURL", source.ErrProtocol)
		}
		return nil
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w: check githubAppInstallationID and githubAppBaseURL", source.ErrAuthentication, errNotThere)
	}
	_ = json.Unmarshal(text, &answer) // some answers are none of GitHub's
	says := fmt.Sprintf("the API answers %s, %s", source.Quote(res.Status), source.Quote(answer.Message))
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %s; check githubAppID and githubAppPrivateKey", source.ErrAuthentication, says)
	}
	return fmt.Errorf("%w: %s", source.ErrUnreachable, says)
}
