package agent

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

const (
	shapeRetry = 10 * time.Second // before an answer is sent again; doubled with each failure, three times at most
	shapeAgain = time.Minute      // before a question with a problem is answered again
)

// Shapes takes the answers to questions about shapes.
type Shapes interface {
	AnswerShapes(ctx context.Context, answers *spokev1.AnswerShapesRequest) error
}

// shapes has the questions of the bundle, and those that are to be answered. Only the loop uses it.
type shapes struct {
	questions []bundle.ShapeQuestion                   // of the bundle
	asked     map[manifest.Digest]bundle.ShapeQuestion // to be answered, by ID
	sent      map[manifest.Digest]manifest.Digest      // digests of the answers that the hub has, by ID
	stop      context.CancelFunc                       // ends the running answer; nil: none runs
	again     map[manifest.Digest]bool                 // asked, or asked again, since the running answer began
	retry     *time.Timer
	failures  int // in a row
}

// shapesAnswered is the end of an attempt to answer questions.
type shapesAnswered struct {
	sent     map[manifest.Digest]manifest.Digest // digests of the answers that the hub got
	problems map[manifest.Digest]bool            // of them, those to be answered again later
	failed   bool                                // there are others
}

func (shapesAnswered) advance(*model) []action { return nil }

// adoptQuestions makes the questions of a bundle those to be answered, beside those of its applications that were asked
// again meanwhile. The hub may have lost earlier answers, because it asks again. Answers to other questions are
// forgotten.
func (a *Agent) adoptQuestions(questions []bundle.ShapeQuestion, apps applications) {
	asked, sent := a.shapes.asked, a.shapes.sent
	a.shapes.questions, a.shapes.asked = questions, map[manifest.Digest]bundle.ShapeQuestion{}
	a.shapes.sent = map[manifest.Digest]manifest.Digest{}
	for _, app := range apps {
		for _, s := range app.ValueSources {
			id := s.Question.ID()
			if answer, known := sent[id]; known {
				a.shapes.sent[id] = answer
			}
			if _, again := asked[id]; again {
				a.askShape(s.Question)
			}
		}
	}
	for _, q := range questions {
		delete(a.shapes.sent, q.ID())
		a.askShape(q)
	}
	a.answerShapes()
}

// askShape makes a question one that is to be answered.
func (a *Agent) askShape(q bundle.ShapeQuestion) {
	if a.shapes.asked == nil {
		a.shapes.asked = map[manifest.Digest]bundle.ShapeQuestion{}
	}
	a.shapes.asked[q.ID()] = q
	if a.shapes.stop != nil {
		a.shapes.again[q.ID()] = true
	}
}

// shapeDoubted means that an entry has another shape than the one that its application was rendered with.
type shapeDoubted struct{ question bundle.ShapeQuestion }

func (shapeDoubted) advance(*model) []action { return nil }

// doubtShape makes the loop answer a question anew: what another cluster answered may not hold here.
func (a *Agent) doubtShape(q bundle.ShapeQuestion) {
	a.spawn(func() input { return shapeDoubted{q} })
}

// shapesChanged answers the questions about objects that changed: those of the bundle, and those that its applications
// were rendered with.
func (a *Agent) shapesChanged(objects map[manifest.ID]bool) {
	ask := func(q bundle.ShapeQuestion) {
		if q.IsLive() && objects[q.Identity().ID()] {
			a.askShape(q)
		}
	}
	for _, q := range a.shapes.questions {
		ask(q)
	}
	for _, n := range a.model.nodes {
		if n.app != nil {
			for _, s := range n.app.ValueSources {
				ask(s.Question)
			}
		}
	}
	if len(a.shapes.asked) > 0 {
		a.answerShapes()
	}
}

// answerShapes begins to answer the questions. If others are being answered and one is asked again, it ends that first.
func (a *Agent) answerShapes() {
	switch {
	case a.shapes.stop != nil:
		if len(a.shapes.again) > 0 {
			a.shapes.stop()
		}
		return
	case len(a.shapes.asked) == 0 || a.Shapes == nil || a.draining:
		return
	}
	ctx, cancel := context.WithCancel(a.base)
	a.shapes.stop, a.shapes.again = cancel, map[manifest.Digest]bool{}
	r := &shapeReader{Agent: a, apps: applications{}, sent: maps.Clone(a.shapes.sent)}
	for _, id := range slices.SortedFunc(maps.Keys(a.shapes.asked), manifest.Digest.Compare) {
		q := a.shapes.asked[id]
		r.questions = append(r.questions, q)
		if n := a.model.nodes[q.Giver]; n != nil && n.app != nil {
			r.apps[q.Giver] = n.app
		}
	}
	a.spawn(func() input {
		defer cancel()
		return r.answer(ctx)
	})
}

// stopShapes ends the running answer.
func (a *Agent) stopShapes() {
	if a.shapes.stop != nil {
		a.shapes.stop()
	}
}

// shapesAnswered notes which questions are answered, and when the others are to be answered.
func (a *Agent) shapesAnswered(in shapesAnswered) {
	moved := a.shapes.again
	a.shapes.stop, a.shapes.again = nil, nil
	retry := time.Duration(0)
	for id, digest := range in.sent {
		a.shapes.sent[id] = digest
		switch {
		case moved[id]:
		case in.problems[id]:
			retry = shapeAgain
		default:
			delete(a.shapes.asked, id)
		}
	}
	switch {
	case len(moved) > 0:
		a.answerShapes()
	case in.failed:
		a.shapes.retry.Reset(shapeRetry << min(a.shapes.failures, 3))
		a.shapes.failures++
		return
	case retry > 0:
		a.shapes.retry.Reset(retry)
	}
	a.shapes.failures = 0
}

// shapeReader answers questions. Nothing that it decrypts outlives it.
type shapeReader struct {
	*Agent
	questions []bundle.ShapeQuestion
	apps      applications
	sent      map[manifest.Digest]manifest.Digest
}

// answer answers the questions, in as many requests as they need. An answer that the hub has is not sent again.
func (r *shapeReader) answer(ctx context.Context) (in shapesAnswered) {
	in = shapesAnswered{sent: map[manifest.Digest]manifest.Digest{}, problems: map[manifest.Digest]bool{}}
	batch := answerBatch{digests: map[manifest.Digest]manifest.Digest{}}
	for _, q := range r.questions {
		m, err := r.one(ctx, q)
		if err != nil {
			r.Log.Info("a question about a shape was not answered", telemetry.Object(q.Identity().ID()), telemetry.Err(err))
			in.failed = true
			continue
		}
		id, digest := q.ID(), answerDigest(m)
		in.problems[id] = m.Problem != ""
		if r.sent[id] == digest {
			in.sent[id] = digest
			continue
		}
		if !batch.fits(m) {
			r.send(ctx, &batch, &in)
		}
		batch.add(id, m, digest)
	}
	r.send(ctx, &batch, &in)
	return in
}

// answerBatch is the answers of one request.
type answerBatch struct {
	answers []*spokev1.ShapeAnswer
	size    int
	digests map[manifest.Digest]manifest.Digest // of the answers, by question
}

// fits reports whether one more answer fits in the request.
func (b *answerBatch) fits(m *spokev1.ShapeAnswer) bool {
	return b.size+proto.Size(m) <= reporting.MaxShapeAnswers/2 && len(b.answers) < reporting.MaxShapes
}

func (b *answerBatch) add(question manifest.Digest, m *spokev1.ShapeAnswer, digest manifest.Digest) {
	b.answers, b.digests[question] = append(b.answers, m), digest
	b.size += proto.Size(m)
}

// send sends a batch, notes the answers that the hub has then, and empties the batch.
func (r *shapeReader) send(ctx context.Context, b *answerBatch, in *shapesAnswered) {
	if len(b.answers) == 0 {
		return
	}
	if err := r.Shapes.AnswerShapes(ctx, &spokev1.AnswerShapesRequest{Answers: b.answers}); err != nil {
		r.Log.Info("questions about shapes were not answered", telemetry.Err(err))
		in.failed = true
	} else {
		maps.Copy(in.sent, b.digests)
	}
	b.answers, b.size = nil, 0
	clear(b.digests)
}

func answerDigest(m *spokev1.ShapeAnswer) manifest.Digest {
	data, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m) // bytes and texts: there is no error to have
	return manifest.DigestOf(data)
}

// errNotGiven: the bundle does not list the object of a question.
var errNotGiven = errors.New("no application of the bundle gives the object")

// one answers one question. It returns an error if another attempt may succeed soon.
func (r *shapeReader) one(ctx context.Context, q bundle.ShapeQuestion) (*spokev1.ShapeAnswer, error) {
	id := q.ID()
	m := &spokev1.ShapeAnswer{Question: id[:]}
	var err error
	switch {
	case q.Form == bundle.ShapeRelease:
		err = r.release(ctx, &q, m)
	case q.IsLive():
		err = r.live(ctx, &q, m)
	default:
		err = r.given(ctx, &q, m)
	}
	if err == nil {
		return m, nil
	}
	if ctx.Err() != nil || kube.Uncertain(err) || errors.Is(err, decrypt.ErrService) {
		return nil, err
	}
	m.Problem = telemetry.Printable(err.Error(), reporting.MaxMessage)
	return m, nil
}

// release answers from the records of a release, whoever wrote them. Their names and labels are enough.
func (r *shapeReader) release(ctx context.Context, q *bundle.ShapeQuestion, m *spokev1.ShapeAnswer) error {
	c := &carrier{Agent: r.Agent, name: q.Reader}
	if err := c.connect(cmp.Or(q.ServiceAccount, r.DefaultServiceAccount)); err != nil {
		return err
	}
	storage := &release.Storage{Client: c.client, Namespace: q.Key, Name: q.Name}
	history, err := storage.History(ctx)
	if err == nil && len(history) > 0 {
		newest := history[len(history)-1]
		m.Shape = bundle.ReleaseAnswer(newest.Version, string(newest.Status))
	}
	return err
}

// live answers from the object in the cluster.
func (r *shapeReader) live(ctx context.Context, q *bundle.ShapeQuestion, m *spokev1.ShapeAnswer) error {
	if r.Data == nil {
		return errors.ErrUnsupported
	}
	account := q.ServiceAccount
	if account == "" {
		account = r.DefaultServiceAccount
	}
	data, err := r.Data(ctx, account, q.Identity())
	if kube.ReasonOf(err) == kube.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	text, exists := data.Values[q.Key]
	if !exists {
		return nil
	}
	if m.Content, err = r.hash(ctx, q, text); err != nil {
		return err
	}
	return r.shape(ctx, q, text, data.Reveal, m)
}

// given answers from the object of an application of the bundle, whose sealed files are opened.
func (r *shapeReader) given(ctx context.Context, q *bundle.ShapeQuestion, m *spokev1.ShapeAnswer) error {
	app := r.apps[q.Giver]
	if app == nil {
		return errNotGiven
	}
	i := slices.IndexFunc(app.Objects, func(o bundle.ObjectReference) bool {
		return o.Digest == q.Object && o.ID() == q.Identity().ID()
	})
	if i < 0 {
		return errNotGiven
	}
	l := r.newLoader(ctx, app)
	defer l.close()
	loaded, err := l.load(ctx, app.Objects[i])
	if err != nil {
		return err
	}
	text, exists := decrypt.Entry(loaded.Object, q.Key)
	if loaded.Release != nil {
		loaded.Release()
	}
	if !exists {
		return nil
	}
	allowed, err := l.reveals(ctx, app.Objects[i], q.Key)
	if err != nil {
		return err
	}
	return r.shape(ctx, q, text, allowed, m)
}

// shape puts the shape of a text into an answer, once there is the memory for it.
func (r *shapeReader) shape(ctx context.Context, q *bundle.ShapeQuestion, text, allowed string,
	m *spokev1.ShapeAnswer) error {
	done, err := r.budget.acquire(ctx, r.budget.objects, valuesCost(text))
	if err != nil {
		return err
	}
	defer done()
	shape, err := shapeOf(q, text, allowed, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", q, err)
	}
	m.Shape = shape
	return nil
}

// hash returns a hash of a text that tells nothing about the text to who has no key. It does not change with other
// fields of the object.
func (a *Agent) hash(ctx context.Context, q *bundle.ShapeQuestion, text string) ([]byte, error) {
	key, err := a.hashKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("the key of hashes: %w", err)
	}
	id := q.EntryID()
	mac := hmac.New(sha256.New, key)
	mac.Write(id[:])
	mac.Write([]byte(text))
	return mac.Sum(nil), nil
}

// hashKey returns the key of the hashes. One caller at a time reads the key, so that no two make a key each.
func (a *Agent) hashKey(ctx context.Context) (key []byte, err error) {
	a.keying.Lock()
	defer a.keying.Unlock()
	if a.shapeKey == nil {
		if key, err = a.ShapeKey(ctx); err != nil {
			return nil, err
		}
		a.shapeKey = key
	}
	return a.shapeKey, nil
}

// appliedAs returns the digest with which an application applied an object last; zero: it did not.
func (a *Agent) appliedAs(app bundle.ApplicationName, id manifest.ID) manifest.Digest {
	owner, item, ours := a.Index.Application(id)
	if !ours || owner != app {
		return manifest.Digest{}
	}
	return item.Digest
}

// reveals returns the annotation that lists what may be revealed of an entry: if sealed values are in the entry, the
// annotation in each of their documents, where the MAC covers it, must list it; else the annotation of the object.
func (l *loader) reveals(ctx context.Context, ref bundle.ObjectReference, key string) (string, error) {
	data, err := l.read(ctx, ref.Digest)
	if err != nil {
		return "", err
	}
	o, err := decode(ref, data)
	if err != nil {
		return "", err
	}
	list := o.GetAnnotations()[sealed.RevealAnnotation]
	for _, t := range placeholdersIn(o, key) {
		at, ok := l.placeholders[t]
		if !ok {
			return "", nil // a text with variables
		}
		plain, err := l.open(ctx, at.file)
		if err != nil {
			return "", err
		}
		list = common(list, plain.Reveals(at.value))
	}
	return list, nil
}

// placeholdersIn returns the placeholders in an entry of a ConfigMap or Secret.
func placeholdersIn(o *manifest.Object, key string) (found []sealed.Placeholder) {
	for _, field := range []string{"data", "stringData"} {
		entries, _ := o.Object[field].(map[string]any)
		text, _ := entries[key].(string)
		found = append(found, sealed.Find(text)...)
	}
	text, _ := decrypt.Entry(o, key)
	return append(found, sealed.Find(text)...)
}

// common returns an annotation that lists what both of two list.
func common(a, b string) string {
	first, errA := sealed.ReadReveals(a)
	second, errB := sealed.ReadReveals(b)
	if errA != nil || errB != nil {
		return ""
	}
	both := ""
	for _, path := range first {
		if slices.Contains(second, path) {
			both += path + ","
		}
	}
	return both
}
