package release

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/spoke/internal/kube"
)

const (
	secretType = "helm.sh/release.v1"
	secretKey  = "release"
	manager    = kube.FieldManager + "-release"
	// digestAnnotation is the digest of the application that a revision was made of. Commands of helm that write a record
	// drop it.
	digestAnnotation = "fleet.nave.io/release-digest"
	// chartAnnotation names the chart of a revision, so that the history needs no record but the newest.
	chartAnnotation = "fleet.nave.io/release-chart"
	// testsAnnotation is how the tests of a revision ended.
	testsAnnotation = "fleet.nave.io/release-tests"
	// infoAnnotation tells when a revision was deployed and what happened, for the history, too.
	infoAnnotation = "fleet.nave.io/release-info"
)

const (
	maxChart = 1 << 10 // bytes of a chartAnnotation
	maxInfo  = 4 << 10 // bytes of an infoAnnotation
)

// Chart names the chart of a revision.
type Chart struct {
	Name       string `json:"name"`
	Version    string `json:"version,omitempty"`
	AppVersion string `json:"appVersion,omitempty"`
}

// String returns "name@version".
func (c Chart) String() string { return c.Name + "@" + c.Version }

// chartOf returns the chart in a record; zero if there is none.
func chartOf(chart json.RawMessage) Chart {
	var c struct{ Metadata Chart }
	_ = json.Unmarshal(chart, &c)
	return c.Metadata
}

// systemLabels are the labels that Helm puts on a record.
var systemLabels = []string{"name", "owner", "status", "version", "createdAt", "modifiedAt"}

// Kubernetes is the part of the API server that a Storage uses.
type Kubernetes interface {
	Create(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Apply(ctx context.Context, o *manifest.Object, opts kube.ApplyOptions) (kube.Applied, error)
	Get(ctx context.Context, id bundle.ObjectIdentity) (*manifest.Object, error)
	Delete(ctx context.Context, id bundle.ObjectIdentity, opts kube.DeleteOptions) error
	List(ctx context.Context, m kube.Mapping, s kube.Scope, see func(kube.Live) error) (string, error)
}

// Storage holds the records of one release, as Helm stores them. Concurrent use is safe: if another program writes
// meanwhile, the reason of the error is Conflict or Exists.
type Storage struct {
	Client    Kubernetes
	Namespace string // of the Secrets
	Name      string // of the release
	Now       func() time.Time
	// Known are revisions that were observed before. What only their records tell is not read again.
	Known []Revision
}

// Revision is what the labels and annotations of a record show.
type Revision struct {
	Version         int
	Status          Status
	Digest          manifest.Digest // of what the revision was made of; zero if another program wrote the record
	Tests           TestResult      // as the spoke noted it
	Chart           Chart           // zero: unknown
	Events          Events          // zero: unknown
	WrittenAt       time.Time       // zero: unknown
	ResourceVersion string
}

// Events is what happened to a revision, and when. Zero times are unknown.
type Events struct {
	FirstDeployed time.Time `json:"firstDeployed,omitzero"` // the release
	LastDeployed  time.Time `json:"lastDeployed,omitzero"`  // the revision
	Description   string    `json:"description,omitempty"`  // it may quote anything: redact it before it is told
}

// eventsOf returns what a record tells.
func eventsOf(i Info) Events {
	return Events{FirstDeployed: i.FirstDeployed.UTC(), LastDeployed: i.LastDeployed.UTC(),
		Description: telemetry.Line(i.Description, maxDescription)}
}

// History returns the revisions of the release, the oldest first.
func (s *Storage) History(ctx context.Context) ([]Revision, error) {
	var all []Revision
	scope := kube.Scope{Namespace: s.Namespace, Selector: "owner=helm,name=" + s.Name}
	secrets := kube.Mapping{Version: "v1", Kind: "Secret", Resource: "secrets", Namespaced: true}
	_, err := s.Client.List(ctx, secrets, scope, func(live kube.Live) error {
		if r, ok := s.revision(live.ID.Name, live.Labels, live.Annotations); ok {
			r.ResourceVersion = live.ResourceVersion
			all = append(all, r)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b Revision) int { return cmp.Compare(a.Version, b.Version) })
	return all, err
}

// revision returns the revision of a Secret; false if the Secret is not named as a record of this release. The name
// counts more than the label: Helm reads a record by its name.
func (s *Storage) revision(secret string, labels, annotations map[string]string) (Revision, bool) {
	number, named := strings.CutPrefix(secret, s.prefix())
	version, err := strconv.Atoi(number)
	if !named || err != nil || version < 1 {
		return Revision{}, false
	}
	r := Revision{Version: version, Status: Status(labels["status"])}
	if !slices.Contains(statuses, r.Status) {
		r.Status = Unknown
	}
	if tests := TestResult(annotations[testsAnnotation]); tests == TestsPassed || tests == TestsFailed {
		r.Tests = tests
	}
	for _, label := range []string{"modifiedAt", "createdAt"} {
		if seconds, err := strconv.ParseInt(labels[label], 10, 64); err == nil && r.WrittenAt.IsZero() {
			r.WrittenAt = time.Unix(seconds, 0)
		}
	}
	if text := annotations[chartAnnotation]; len(text) > maxChart || json.Unmarshal([]byte(text), &r.Chart) != nil {
		r.Chart = Chart{}
	}
	if text := annotations[infoAnnotation]; len(text) > maxInfo || json.Unmarshal([]byte(text), &r.Events) != nil {
		r.Events = Events{}
	}
	if digest, err := manifest.ParseDigest(annotations[digestAnnotation]); err == nil {
		r.Digest = digest
	}
	return r, true
}

func (s *Storage) prefix() string { return "sh.helm.release.v1." + s.Name + ".v" }

func (s *Storage) identity(version int) bundle.ObjectIdentity {
	return bundle.ObjectIdentity{Version: "v1", Kind: "Secret", Namespace: s.Namespace,
		Name: s.prefix() + strconv.Itoa(version)}
}

// Read returns a record. If it does not exist, the reason of the error is NotFound.
func (s *Storage) Read(ctx context.Context, version int) (Record, Revision, error) {
	o, err := s.Client.Get(ctx, s.identity(version))
	if err != nil {
		return Record{}, Revision{}, err
	}
	r, err := recordOf(o)
	if err == nil && (r.Name != s.Name || r.Version != version) {
		err = fmt.Errorf("%w: it is %s", errMalformed, r)
	}
	if err != nil {
		return Record{}, Revision{}, fmt.Errorf("Secret %s/%s: %w", s.Namespace, s.identity(version).Name, err)
	}
	r.Labels = maps.Clone(o.GetLabels())
	maps.DeleteFunc(r.Labels, func(key, _ string) bool { return slices.Contains(systemLabels, key) })
	v, _ := s.revision(o.GetName(), o.GetLabels(), o.GetAnnotations())
	v.Status, v.Chart, v.Events, v.ResourceVersion = r.Info.Status, chartOf(r.Chart), eventsOf(r.Info),
		o.GetResourceVersion()
	return r, v, nil
}

// recordOf reads the record in a Secret.
func recordOf(o *manifest.Object) (Record, error) {
	data, _ := o.Object["data"].(map[string]any)
	encoded, _ := data[secretKey].(string)
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(decoded) == 0 {
		return Record{}, fmt.Errorf("%w: no key %s", errMalformed, secretKey)
	}
	return DecodeRecord(decoded)
}

// Create stores a new record, made of what has the digest. If the revision exists, the reason of the error is Exists.
func (s *Storage) Create(ctx context.Context, r *Record, digest manifest.Digest) (Revision, error) {
	return s.write(ctx, r, Revision{Digest: digest}, s.Client.Create)
}

// Update replaces a record. If the record changed since at was read, the reason of the error is Conflict.
func (s *Storage) Update(ctx context.Context, r *Record, at Revision) (Revision, error) {
	if at.ResourceVersion == "" {
		return Revision{}, errors.New("the record that is replaced was not read")
	}
	return s.write(ctx, r, at, s.Client.Apply)
}

func (s *Storage) write(ctx context.Context, r *Record, at Revision,
	send func(context.Context, *manifest.Object, kube.ApplyOptions) (kube.Applied, error)) (Revision, error) {
	o, err := s.secret(r, at)
	if err != nil {
		return Revision{}, err
	}
	written, err := send(ctx, o, kube.ApplyOptions{FieldManager: manager})
	if err != nil {
		return Revision{}, bare(err)
	}
	return Revision{Version: r.Version, Status: r.Info.Status, Digest: at.Digest, Tests: at.Tests,
		Chart: chartOf(r.Chart), Events: eventsOf(r.Info), WrittenAt: s.Now(), ResourceVersion: written.ResourceVersion}, nil
}

// bare leaves out what may quote a record.
func bare(err error) error {
	if e, ok := errors.AsType[*kube.Error](err); ok {
		return e.Redacted(func(text string) string { return text }, true)
	}
	return err
}

// secret returns the Secret of a record.
func (s *Storage) secret(r *Record, at Revision) (*manifest.Object, error) {
	if r.Name != s.Name {
		return nil, fmt.Errorf("%s does not belong to release %s", r, s.Name)
	}
	data, err := r.Encode()
	if err != nil {
		return nil, err
	}
	written := "createdAt"
	if at.ResourceVersion != "" {
		written = "modifiedAt"
	}
	labels := maps.Clone(r.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{"name": r.Name, "owner": "helm", "status": string(r.Info.Status),
		"version": strconv.Itoa(r.Version), written: strconv.FormatInt(s.Now().Unix(), 10)})
	o := &manifest.Object{Object: map[string]any{"apiVersion": "v1", "kind": "Secret", "type": secretType,
		"data": map[string]any{secretKey: base64.StdEncoding.EncodeToString(data)}}}
	o.SetNamespace(s.Namespace)
	o.SetName(s.identity(r.Version).Name)
	o.SetLabels(labels)
	o.SetResourceVersion(at.ResourceVersion)
	o.SetAnnotations(annotationsOf(r, at))
	return o, nil
}

// annotationsOf returns what the history tells of a record without reading the record.
func annotationsOf(r *Record, at Revision) map[string]string {
	annotations := map[string]string{}
	if chart, err := json.Marshal(chartOf(r.Chart)); err == nil && len(chart) <= maxChart {
		annotations[chartAnnotation] = string(chart)
	}
	if events, err := json.Marshal(eventsOf(r.Info)); err == nil && len(events) <= maxInfo {
		annotations[infoAnnotation] = string(events)
	}
	if !at.Digest.IsZero() {
		annotations[digestAnnotation] = at.Digest.String()
	}
	if at.Tests != NotTested {
		annotations[testsAnnotation] = string(at.Tests)
	}
	return annotations
}

// Delete deletes a record. A record that does not exist is no error.
func (s *Storage) Delete(ctx context.Context, version int) error {
	err := s.Client.Delete(ctx, s.identity(version), kube.DeleteOptions{})
	if kube.ReasonOf(err) == kube.NotFound {
		return nil
	}
	return err
}

// Surplus returns the versions that go from a history, the oldest first, so that at most keep remain. The last deployed
// revision always remains. If keep is below 0, all remain.
func Surplus(history []Revision, keep int) (versions []int) {
	if keep < 0 {
		return nil
	}
	deployed := 0
	for _, r := range history {
		if r.Status == Deployed {
			deployed = max(deployed, r.Version)
		}
	}
	for _, r := range history {
		if len(history)-len(versions) <= keep {
			break
		}
		if r.Version != deployed {
			versions = append(versions, r.Version)
		}
	}
	return versions
}
