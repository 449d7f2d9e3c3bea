package agent

import (
	"context"
	"encoding/json"
	"maps"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/navefleet/nave/e2e/sopstest"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/signing"
	"github.com/navefleet/nave/spoke/internal/session"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

func (h *farHub) AnswerShapes(_ context.Context, r *spokev1.AnswerShapesRequest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken {
		return session.ErrDisconnected
	}
	h.shapes = append(h.shapes, r.Answers...)
	return nil
}

// answer returns the last answer to a question; nil if there is none.
func (h *farHub) answer(q bundle.ShapeQuestion) (last *spokev1.ShapeAnswer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := q.ID()
	for _, m := range h.shapes {
		if string(m.Question) == string(id[:]) {
			last = m
		}
	}
	return last
}

// holdsAnswer reports whether a text is in an answer.
func (h *farHub) holdsAnswer(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, _ := json.Marshal(h.shapes)
	for _, m := range h.shapes {
		data = append(data, m.Shape...)
	}
	return strings.Contains(string(data), text)
}

// signQuestions makes a bundle with questions.
func (h *farHub) signQuestions(t *testing.T, sequence uint64, questions []bundle.ShapeQuestion,
	apps ...*bundle.Application) *session.Offer {
	t.Helper()
	envelope, err := signing.DecodeEnvelope(h.sign(t, sequence, apps...).Envelope)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.DecodeBundle(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	b.Questions = questions
	return h.signBundle(t, b)
}

func webQuestion(kind, name string) bundle.ShapeQuestion {
	return bundle.ShapeQuestion{Reader: bundle.ApplicationName{Kind: "HelmRelease", Namespace: "shop", Name: "web"},
		Kind: kind, Name: name, Key: "values.yaml", Form: bundle.ShapeYAML, Reveal: []string{sealed.RevealAll}}
}

// webValues has a canary as a text, and as parts of a text.
const webValues = "auth: {enabled: true, user: admin, password: " + canary +
	"}\nreplicas: 7041\nhosts: [x-" + canary + "]\n"

func TestShapes(t *testing.T) {
	r := newRig(t)
	r.start(t)
	q, c := webQuestion("Secret", "values"), webQuestion("ConfigMap", "plain")
	q.ServiceAccount = "team"
	c.ServiceAccount = "team"
	r.inputs.putIn("shop", "ConfigMap", "plain", "1", "auth.password",
		map[string]string{"values.yaml": strings.ReplaceAll(webValues, canary, "public")})
	r.hub.send(r.hub.signQuestions(t, 1, []bundle.ShapeQuestion{q, c}))
	eventually(t, "a missing Secret is not told", func() bool {
		m := r.hub.answer(q)
		return m != nil && len(m.Shape) == 0
	})
	const shape = `{"auth":{"enabled":"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"}`
	told := func(want string) func() bool {
		return func() bool { return string(r.hub.answer(q).GetShape()) == want }
	}
	if m := r.hub.answer(q); m.Problem != "" || len(m.Content) > 0 || r.inputs.account != "team" {
		t.Errorf("%v, read by %q", m, r.inputs.account)
	}
	r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": webValues})
	eventually(t, "the keys are not told", told(shape))
	first := r.hub.answer(q).Content
	r.inputs.putIn("shop", "Secret", "values", "2", "", map[string]string{"values.yaml": webValues, "other": "x"})
	r.inputs.putIn("shop", "Secret", "values", "3", "replicas, auth.enabled", map[string]string{"values.yaml": webValues})
	eventually(t, "the revealed values are not told", told(strings.NewReplacer(`"bool"`, `"=true"`, `"int"`, `"=7041"`).
		Replace(shape)))
	if string(r.hub.answer(q).Content) != string(first) || len(first) != 32 {
		t.Error("the content is another, or none")
	}
	if r.hub.holdsAnswer(canary[:12]) || r.hub.holdsAnswer("admin") {
		t.Error("a value of the Secret is told")
	}
	r.inputs.putIn("shop", "Secret", "values", "4", "",
		map[string]string{"values.yaml": strings.Replace(webValues, "7041", "7042", 1)})
	eventually(t, "the change of a value is not told", func() bool {
		m := r.hub.answer(q)
		return string(m.Shape) == shape && string(m.Content) != string(first)
	})
	want := `{"auth":{"enabled":"=true","password":"=\"public\"","user":"str"},"hosts":["str"],"replicas":"=7041"}`
	if got := string(r.hub.answer(c).GetShape()); got != want {
		t.Errorf("the ConfigMap: %s", got)
	}
	if r.out.holds(canary[:12]) {
		t.Error("a value is in a report or a log")
	}
}

// TestShapes_problem asks about texts that have no shape. No answer and no log quotes them.
func TestShapes_problem(t *testing.T) {
	for name, c := range map[string]struct {
		form       bundle.ShapeForm
		text, want string
	}{
		"yaml":  {bundle.ShapeYAML, "a: [" + canary, "is not YAML"},
		"map":   {bundle.ShapeYAML, canary, "not a map"},
		"alias": {bundle.ShapeYAML, bomb(canary), "aliases stand for more than"},
		"large": {bundle.ShapeYAML, "a: " + strings.Repeat(canary, 1<<15), "more than 512 KiB"},
		"many":  {bundle.ShapeYAML, "a: [" + strings.Repeat(canary+",", 1<<15)[:400<<10] + "]", "more than"},
		"set":   {bundle.ShapeSet, "{" + canary + "}", "helm --set"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			q := webQuestion("Secret", "values")
			q.Form = c.form
			r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": c.text})
			r.start(t)
			r.hub.send(r.hub.signQuestions(t, 1, []bundle.ShapeQuestion{q}))
			eventually(t, "no answer", func() bool { return r.hub.answer(q) != nil })
			if m := r.hub.answer(q); !strings.Contains(m.Problem, c.want) || len(m.Shape) > 0 {
				t.Errorf("got %v", m)
			}
			if r.hub.holdsAnswer(canary[:12]) || r.out.holds(canary[:12]) {
				t.Error("the value is told")
			}
		})
	}
}

// bomb returns YAML whose aliases expand to very many values.
func bomb(value string) string {
	text := "a0: &a0 [" + strings.Repeat(value+",", 10) + "]\n"
	for i := range 8 {
		at, below := string(rune('1'+i)), string(rune('0'+i))
		text += "a" + at + ": &a" + at + " [" + strings.Repeat("*a"+below+",", 10) + "]\n"
	}
	return text
}

// TestShapes_given asks about Secrets of another application, which only a key of the cluster opens.
func TestShapes_given(t *testing.T) {
	key, err := sopstest.NewAge()
	if err != nil {
		t.Fatal(err)
	}
	secret := func(field, text, annotations string) []byte {
		quoted, _ := json.Marshal(text)
		file, err := key.EncryptFile("secret.yaml",
			[]byte("apiVersion: v1\nkind: Secret\nmetadata:\n  name: values\n  annotations: {"+
				annotations+"}\n"+field+":\n  values.yaml: "+string(quoted)+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	const reveal = `"fleet.nave.io/reveal": "replicas,auth.enabled"`
	for name, c := range map[string]struct{ annotations, listed, want string }{
		"closed":   {"", "replicas", `"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"`},
		"revealed": {reveal, "replicas", `"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"=7041"`},
		"patched":  {"", "", `"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.api.secrets["flux-system/sops-age"] = map[string][]byte{"identity.agekey": key.Private()}
			app := sealedApplication(t, r, secret("stringData", webValues, c.annotations))
			app.SealedFiles[0].Values[0].Path = []string{"stringData", "values.yaml"}
			object := r.hub.object(t, "Secret", "values", map[string]any{
				"metadata": map[string]any{"namespace": "shop", "name": "values",
					"annotations": map[string]any{sealed.RevealAnnotation: "replicas,auth.enabled,auth.password"}},
				"stringData": map[string]any{"values.yaml": app.SealedFiles[0].Values[0].Placeholder}})
			app.Objects = []bundle.ObjectReference{object}
			q := webQuestion("Secret", "values")
			q.Giver, q.Object, q.Reveal = app.Name, object.Digest, []string{"replicas", "auth.password"}
			lost := q
			lost.Object = manifest.DigestOf([]byte("another"))
			r.start(t)
			r.hub.send(r.hub.signQuestions(t, 1, sortedQuestions(q, lost), app))
			eventually(t, "no answer", func() bool { return r.hub.answer(q) != nil && r.hub.answer(lost) != nil })
			if m := r.hub.answer(q); string(m.Shape) != `{"auth":{"enabled":`+c.want+`}` {
				t.Errorf("got %s, %s", m.Shape, m.Problem)
			}
			if m := r.hub.answer(lost); !strings.Contains(m.Problem, errNotGiven.Error()) {
				t.Errorf("an object that the bundle does not have: %v", m)
			}
			if r.hub.holdsAnswer(canary[:12]) || r.out.holds(canary[:12]) {
				t.Error("the value is told")
			}
		})
	}
}

func sortedQuestions(all ...bundle.ShapeQuestion) []bundle.ShapeQuestion {
	if len(all) > 1 && bundle.CompareQuestions(all[0], all[1]) > 0 {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

// TestShapes_hub asks while the connection is lost, and again after the hub lost the answer.
func TestShapes_hub(t *testing.T) {
	r := newRig(t)
	q := webQuestion("Secret", "values")
	r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": webValues})
	r.start(t)
	r.hub.send(r.hub.signQuestions(t, 1, []bundle.ShapeQuestion{q}))
	eventually(t, "no answer", func() bool { return r.hub.answer(q) != nil })
	r.hub.mu.Lock()
	r.hub.shapes = nil
	r.hub.mu.Unlock()
	r.hub.send(r.hub.signQuestions(t, 2, []bundle.ShapeQuestion{q},
		application("apps", r.hub.object(t, "ConfigMap", "a", nil))))
	eventually(t, "no answer to the next bundle", func() bool { return r.hub.answer(q) != nil })
}

// valuesApplication has an object with values of a Secret, rendered with a shape.
func valuesApplication(t *testing.T, r *rig, shape, content string) *bundle.Application {
	t.Helper()
	salt := sealed.NewSalt([]byte(content))
	q := webQuestion("Secret", "values")
	source := bundle.ValueSource{Question: q}
	placeholder := func(path ...string) string {
		p := string(salt.Placeholder(q.String(), path))
		source.Values = append(source.Values, bundle.InnerValue{Placeholder: p, Path: path})
		return p
	}
	quoted := string(salt.Placeholder("quoted", nil))
	source.Values = []bundle.InnerValue{{Placeholder: quoted, Path: []string{"replicas"}, Text: true}}
	app := application("web", r.hub.object(t, "ConfigMap", "web", map[string]any{"spec": map[string]any{
		"url": "db://" + placeholder("auth", "password"), "on": placeholder("auth", "enabled"),
		"quoted": quoted, "replicas": placeholder("replicas"), "host": placeholder("hosts", "0")}}))
	source.Shape = manifest.DigestOf([]byte(shape))
	app.Name, app.ValueSources = q.Reader, []bundle.ValueSource{source}
	return app
}

// TestValueSources applies an object with values of a Secret of the cluster: not before the Secret exists, again when
// the hub rendered it with another value, and not while its keys are others than those that the hub rendered with.
func TestValueSources(t *testing.T) {
	r := newRig(t)
	r.start(t)
	app := valuesApplication(t, r, `{"auth":{"enabled":"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"}`, "")
	q := app.ValueSources[0].Question
	r.hub.send(r.hub.sign(t, 1, app))
	r.hub.expect(t, "1 received")
	eventually(t, "the missing Secret is not named", func() bool {
		return r.out.holds("Secret shop/values, key values.yaml, which values come from (spec.valuesFrom), does not exist")
	})
	if !r.out.holds("InputNotReady") || r.cluster.has("web") != nil {
		t.Error("applied without the Secret")
	}
	put := func(version, text string) {
		r.inputs.putIn("shop", "Secret", "values", version, "", map[string]string{"values.yaml": text})
	}
	applied := func(password string) func() bool {
		return func() bool {
			o := r.cluster.has("web")
			if o == nil {
				return false
			}
			spec := o.Object["spec"].(map[string]any)
			return spec["url"] == "db://"+password && spec["on"] == true && spec["replicas"] == int64(7041) &&
				spec["quoted"] == "7041" && spec["host"] == "x-"+canary
		}
	}
	put("1", webValues)
	eventually(t, "not applied when the Secret appeared", applied(canary))
	r.hub.expect(t, "1 healthy")
	put("2", strings.Replace(webValues, "password: "+canary, "password: new", 1))
	eventually(t, "the change of a value is not told", func() bool { return r.hub.answer(q) != nil })
	r.hub.send(r.hub.sign(t, 2, valuesApplication(t, r, string(r.hub.answer(q).Shape), "new")))
	eventually(t, "not applied when the hub rendered with another value", applied("new"))

	r.out.forget()
	put("3", webValues+"more: "+canary+"\n")
	eventually(t, "the keys are not told", func() bool { return strings.Contains(string(r.hub.answer(q).GetShape()), `"more"`) })
	r.out.await(t, "has other keys, types or revealed values than the application was rendered with; waiting for the hub")
	if !applied("new")() {
		t.Error("the object changed, with keys that the hub did not render with")
	}
	r.hub.send(r.hub.sign(t, 3, valuesApplication(t, r, string(r.hub.answer(q).Shape), "more")))
	eventually(t, "not applied as the hub rendered it anew", applied(canary))
	if r.hub.holdsAnswer(canary[:12]) || r.out.holds(canary[:12]) {
		t.Error("a value is told")
	}
}

// TestValueSources_refused makes an API server quote values.
func TestValueSources_refused(t *testing.T) {
	r := newRig(t)
	r.cluster.refuse = func(*manifest.Object) string { return "no login for " + canary + " with 7041 and admin" }
	r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": webValues})
	r.start(t)
	r.hub.send(r.hub.sign(t, 1, valuesApplication(t, r,
		`{"auth":{"enabled":"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"}`, "")))
	r.out.await(t, "no login for [redacted] with [redacted] and [redacted]")
	if r.out.holds(canary[:12]) {
		t.Error("a value is told")
	}
}

// TestValueSources_given waits until another application has applied the version of the Secret that the hub rendered
// with, whatever is in the cluster before.
func TestValueSources_given(t *testing.T) {
	r := newRig(t)
	r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": webValues})
	r.start(t)
	web := valuesApplication(t, r,
		`{"auth":{"enabled":"bool","password":"str","user":"str"},"hosts":["str"],"replicas":"int"}`, "")
	q := &web.ValueSources[0].Question
	giver := application("apps", r.hub.object(t, "Secret", "values", map[string]any{"type": "old"}))
	next := r.hub.object(t, "Secret", "values", map[string]any{"type": "new"})
	q.Giver, q.Object = giver.Name, next.Digest
	r.hub.send(r.hub.sign(t, 1, web, giver))
	r.out.await(t, "was rendered with; waiting for Kustomization flux-system/apps to apply it, or for the hub")
	if r.cluster.has("web") != nil {
		t.Error("applied with the old version")
	}
	r.hub.send(r.hub.sign(t, 2, web, application("apps", next)))
	eventually(t, "the next version was not applied", func() bool {
		values := r.cluster.has("values")
		return values != nil && values.Object["type"] == "new"
	})
	r.inputs.putIn("shop", "Secret", "values", "2", "", map[string]string{"values.yaml": webValues})
	eventually(t, "not applied after the next version", func() bool { return r.cluster.has("web") != nil })
}

// TestValueSources_doubted gets an application that was rendered with the answer of a cluster that lies. The
// application is not applied, and this cluster answers, too.
func TestValueSources_doubted(t *testing.T) {
	r := newRig(t)
	r.inputs.putIn("shop", "Secret", "values", "1", "", map[string]string{"values.yaml": webValues})
	r.start(t)
	web := valuesApplication(t, r, `{"auth":{"enabled":"=true"}}`, "")
	q := &web.ValueSources[0].Question
	given := r.hub.object(t, "Secret", "values", map[string]any{"stringData": map[string]any{"values.yaml": webValues}})
	giver := application("apps", given)
	q.Giver, q.Object = giver.Name, given.Digest
	r.hub.send(r.hub.sign(t, 1, web, giver))
	eventually(t, "no answer of this cluster", func() bool {
		return strings.Contains(string(r.hub.answer(*q).GetShape()), `"enabled":"bool"`)
	})
	if r.cluster.has("web") != nil {
		t.Error("applied with the shape of another cluster")
	}
}

// TestHash_key hashes a text for the first time in many runs at the same time. There is one key, and one hash.
func TestHash_key(t *testing.T) {
	var made atomic.Int32
	a := &Agent{Config: Config{ShapeKey: func(context.Context) ([]byte, error) {
		key := []byte{byte(made.Add(1))}
		for range 100 {
			runtime.Gosched() // others come meanwhile
		}
		return key, nil
	}}}
	q, hashes := webQuestion("Secret", "values"), make([]string, 50)
	var running sync.WaitGroup
	for i := range hashes {
		running.Go(func() {
			hash, err := a.hash(t.Context(), &q, "text")
			if hashes[i] = string(hash); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	for _, hash := range hashes {
		if hash != hashes[0] || made.Load() != 1 {
			t.Fatalf("%d keys", made.Load())
		}
	}
}

// TestAdoptQuestions keeps what the hub was told only as long as an application of the bundle has the question.
func TestAdoptQuestions(t *testing.T) {
	kept, asked, gone := webQuestion("Secret", "kept"), webQuestion("Secret", "asked"), webQuestion("Secret", "gone")
	a := &Agent{}
	answer := manifest.DigestOf([]byte("answer"))
	a.shapes.sent = map[manifest.Digest]manifest.Digest{kept.ID(): answer, asked.ID(): answer, gone.ID(): answer}
	a.shapes.asked = map[manifest.Digest]bundle.ShapeQuestion{gone.ID(): gone}
	app := &bundle.Application{ValueSources: []bundle.ValueSource{{Question: kept}, {Question: asked}}}
	a.adoptQuestions([]bundle.ShapeQuestion{asked}, applications{app.Name: app})
	if want := map[manifest.Digest]manifest.Digest{kept.ID(): answer}; !maps.Equal(a.shapes.sent, want) {
		t.Errorf("%d answers are remembered", len(a.shapes.sent))
	}
	if _, ok := a.shapes.asked[asked.ID()]; !ok || len(a.shapes.asked) != 1 {
		t.Errorf("%d questions are to be answered", len(a.shapes.asked))
	}
}
