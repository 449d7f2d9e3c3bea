package agent

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
)

// The placeholders of the recipes of recipes.
const (
	passwordPlaceholder = "p0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa"
	hashPlaceholder     = "h0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa"
	caPlaceholder       = "c0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa"
	caKeyPlaceholder    = "c0sealed0bbbbbbbbbbbbbbbbbbbbbbbbbb"
	certPlaceholder     = "t0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyPlaceholder      = "t0sealed0bbbbbbbbbbbbbbbbbbbbbbbbbb"
	ticketPlaceholder   = "n0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// loginText has a generated password in three objects, and its hash.
const loginText = `---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: $NS}
stringData: {user: web, password: ` + passwordPlaceholder + `}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: connection, namespace: $NS}
data: {url: "postgres://web:` + passwordPlaceholder + `@db-1:5432", htpasswd: ` + hashPlaceholder + `}
`

func passwordRecipes() []bundle.Recipe {
	return []bundle.Recipe{
		{Placeholder: passwordPlaceholder, Function: "randAlphaNum", Arguments: []byte(`[24]`)},
		{Placeholder: hashPlaceholder, Function: "htpasswd", Arguments: []byte(`["web","` + passwordPlaceholder + `"]`)},
	}
}

// tlsText returns an authority of which only the certificate is kept, and a Secret with a certificate of it.
func tlsText(name string) string {
	text := `---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: $NS}
webhooks:
- name: a.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {service: {name: a, namespace: $NS}, caBundle: CABUNDLE}
---
apiVersion: v1
kind: Secret
metadata: {name: NAME, namespace: $NS}
data: {tls.crt: CERT, tls.key: KEY}
`
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	return strings.NewReplacer("CABUNDLE", encode(caPlaceholder), "NAME", name, "CERT", encode(certPlaceholder),
		"KEY", encode(keyPlaceholder)).Replace(text)
}

func tlsRecipes(dns string) []bundle.Recipe {
	return []bundle.Recipe{
		{Placeholder: caPlaceholder, Key: caKeyPlaceholder, Function: "genCA", Arguments: []byte(`["ca",365]`)},
		{Placeholder: certPlaceholder, Key: keyPlaceholder, Function: "genSignedCert", Arguments: []byte(`["a",["10.0.0.1"],["` +
			dns + `"],365,{"Cert":"` + caPlaceholder + `","Key":"` + caKeyPlaceholder + `"}]`)},
	}
}

// decoded returns the text of an entry of a Secret.
func (w *helmWorld) decoded(name, key string) string {
	w.t.Helper()
	data, err := base64.StdEncoding.DecodeString(w.field("Secret", name, "data", key))
	w.must(err)
	return string(data)
}

// password returns the password of loginText, and fails unless the connection has the same.
func (w *helmWorld) password(host string) string {
	w.t.Helper()
	password := w.decoded("login", "password")
	w.same("url", w.field("ConfigMap", "connection", "data", "url"), "postgres://web:"+password+"@"+host+":5432")
	return password
}

// verify fails unless the certificate in a Secret is of the authority in the webhook.
func (w *helmWorld) verify(secret, dns string) (authority string) {
	w.t.Helper()
	o, err := w.cluster.Get(w.t.Context(), "ValidatingWebhookConfiguration.admissionregistration.k8s.io", "",
		w.app.Name.Namespace)
	w.must(err)
	hook := o.Object["webhooks"].([]any)[0].(map[string]any)["clientConfig"].(map[string]any)
	authority = hook["caBundle"].(string)
	bundled, err := base64.StdEncoding.DecodeString(authority)
	w.must(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundled) {
		w.t.Fatal("caBundle is no certificate")
	}
	block, _ := pem.Decode([]byte(w.decoded(secret, "tls.crt")))
	certificate, err := x509.ParseCertificate(block.Bytes)
	w.must(err)
	if _, err := certificate.Verify(x509.VerifyOptions{DNSName: dns, Roots: roots}); err != nil {
		w.t.Error(err)
	}
	return authority
}

// secretsTold fails if a report has a value.
func (w *helmWorld) secretsTold(values ...string) {
	w.t.Helper()
	said := fmt.Sprint(w.told.of("web"), w.told.events)
	for _, value := range values {
		if strings.Contains(said, value) {
			w.t.Error("a report has a generated value")
		}
	}
}

// TestRelease_recipes makes passwords and certificates in the cluster, once.
func TestRelease_recipes(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Features = "helm-release,recipes"
	ticket := bundle.Recipe{Placeholder: ticketPlaceholder, Function: "randNumeric", Arguments: []byte(`[6]`)}
	w.app.Release.Recipes = append(append(passwordRecipes(), ticket), tlsRecipes("a.example.com")...)
	w.app.Release.Notes = "The password is " + passwordPlaceholder + ". Only the notes have " + ticketPlaceholder + "."
	w.render(lifeConfig + loginText + tlsText("tls"))
	w.hook(hookNamed("before")+"data: {password: "+passwordPlaceholder+"}\n", nil, bundle.PreInstall)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	password := w.password("db-1")
	if len(password) != 24 {
		t.Errorf("password %q", password)
	}
	w.same("hook", w.field("ConfigMap", "before", "data", "password"), password)
	hash := w.field("ConfigMap", "connection", "data", "htpasswd")
	authority := w.verify("tls", "a.example.com")
	w.helm("get manifest web", "password: "+password, hash, authority)
	w.helm("get notes web", "The password is "+password+". Only the notes have ")

	// Nothing changes when the release is applied again, or when only its options change.
	version := func() string {
		return w.field("Secret", "login", "metadata", "resourceVersion") +
			w.field("ConfigMap", "connection", "metadata", "resourceVersion")
	}
	before := version()
	w.app.Interval *= 2
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "1 deployed web@1.2.3")
	w.same("versions", version(), before)

	// An upgrade keeps the values, also where the text around them changes, and puts them into new objects.
	w.render(lifeConfig + strings.ReplaceAll(loginText, "db-1", "db-2") + tlsText("tls") +
		strings.ReplaceAll(loginText[:strings.LastIndex(loginText, "---")], "login", "more"))
	w.send()
	r = w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.same("kept", w.password("db-2"), password)
	w.same("more", w.decoded("more", "password"), password)
	w.same("hash", w.field("ConfigMap", "connection", "data", "htpasswd"), hash)
	w.same("authority", w.verify("tls", "a.example.com"), authority)

	// An object that somebody deleted gets its values back.
	w.must(w.cluster.Delete(t.Context(), "Secret", w.app.Name.Namespace, "tls"))
	w.entry.RequestedAt = "deleted"
	w.send()
	w.eventually("the Secret", func() error {
		if w.field("Secret", "tls", "kind") == "" {
			return errors.New("it does not exist")
		}
		return nil
	})
	w.same("authority after a deletion", w.verify("tls", "a.example.com"), authority)

	// A new certificate of an authority whose key nobody has needs a new authority.
	w.app.Release.Recipes = append(append(passwordRecipes(), ticket), tlsRecipes("b.example.com")...)
	w.render(lifeConfig + strings.ReplaceAll(loginText, "db-1", "db-2") + tlsText("tls-b"))
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	if w.verify("tls-b", "b.example.com") == authority {
		t.Error("the authority is the old one")
	}
	w.same("kept again", w.password("db-2"), password)
	w.helm("get manifest web", "password: "+password)
	w.secretsTold(password, hash)
	w.gone = true
	w.send()
	w.awaitRemoval()
}

// TestRelease_recipes_adopted keeps a password that another program put into the cluster.
func TestRelease_recipes_adopted(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Features = "helm-release,recipes"
	w.app.Release.Recipes = passwordRecipes()
	w.must(w.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: Secret\nmetadata: {name: login, namespace: "+
		w.app.Name.Namespace+"}\nstringData: {password: of-before}\n")))
	w.render(loginText)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("password", w.password("db-1"), "of-before")
}

// TestRelease_recipes_own refuses to copy what a bundle must not see: an object of the spoke itself.
func TestRelease_recipes_own(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Features = "helm-release,recipes"
	w.app.Release.Recipes = passwordRecipes()
	w.must(w.cluster.Apply(t.Context(), []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: nave-system}\n---\n"+
		"apiVersion: v1\nkind: Secret\nmetadata: {name: own, namespace: nave-system}\n"+
		"stringData: {password: of-the-spoke}\n")))
	w.app.Release.Recipes = append(w.app.Release.Recipes, bundle.Recipe{Placeholder: ticketPlaceholder,
		Function: "randNumeric", Arguments: []byte(`[6]`)}) // only the refused Secret has it
	w.render(strings.NewReplacer("name: login, namespace: $NS", "name: own, namespace: nave-system",
		"user: web", "user: web, ticket: "+ticketPlaceholder).Replace(loginText))
	w.send()
	w.eventually("the ConfigMap", func() error {
		if w.field("ConfigMap", "connection", "data", "url") == "" {
			return errors.New("it does not exist")
		}
		return nil
	})
	if url := w.field("ConfigMap", "connection", "data", "url"); strings.Contains(url, "of-the-spoke") {
		t.Error(url)
	}
}

// TestRelease_recipes_returned keeps a password that a rollback took out of the cluster, and one in a text with
// certificates that no other object has.
func TestRelease_recipes_returned(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Features = "helm-release,recipes,pinned-releases"
	w.render(lifeConfig)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.app.Release.Recipes = append(passwordRecipes(), tlsRecipes("a.example.com")...)
	w.render(lifeConfig + loginText + `---
apiVersion: v1
kind: Secret
metadata: {name: pem, namespace: $NS}
stringData: {all.pem: "` + keyPlaceholder + certPlaceholder + caPlaceholder + `"}
`)
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	password, pem := w.password("db-1"), w.decoded("pem", "all.pem")
	version := w.field("Secret", "pem", "metadata", "resourceVersion")
	w.entry.ForceRequestedAt = "now"
	w.send()
	w.eventually("the upgrade", func() error {
		if got := historyOf(w.told.of("web")); !strings.HasPrefix(got, "3 deployed") {
			return errors.New(got)
		}
		return nil
	})
	w.same("version after an upgrade", w.field("Secret", "pem", "metadata", "resourceVersion"), version)
	w.pin(1)
	w.same("rolled back", w.field("Secret", "login", "kind"), "")
	w.pin(0)
	w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("password", w.password("db-1"), password)
	w.same("certificates", w.decoded("pem", "all.pem"), pem)
}

// TestRelease_recipes_half_edited keeps the certificate and the key of the record if somebody edited one of them, so
// that both fit each other.
func TestRelease_recipes_half_edited(t *testing.T) {
	w := newHelmWorld(t)
	w.entry.Features = "helm-release,recipes"
	w.entry.Drift = bundle.IgnoreDrift
	w.app.Release.Recipes = tlsRecipes("a.example.com")
	w.render(tlsText("tls"))
	w.send()
	w.expect(condition.True, condition.ReconciliationSucceeded)
	authority, key := w.verify("tls", "a.example.com"), w.decoded("tls", "tls.key")
	edited := base64.StdEncoding.EncodeToString([]byte(strings.Replace(key, "M", "N", 1)))
	w.must(w.cluster.Edit(t.Context(), "Secret", w.app.Name.Namespace, "tls", `{"data":{"tls.key":"`+edited+`"}}`))
	w.render(lifeConfig + tlsText("tls"))
	w.send()
	r := w.expect(condition.True, condition.ReconciliationSucceeded)
	w.same("history", historyOf(r), "2 deployed web@1.2.3, 1 superseded web@1.2.3")
	w.same("authority", w.verify("tls", "a.example.com"), authority)
	w.same("key", w.decoded("tls", "tls.key"), key)
}
