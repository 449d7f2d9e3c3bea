package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
)

// Status is the status of a revision, as Helm names it.
type Status string

// The statuses.
const (
	Unknown         Status = "unknown"
	Deployed        Status = "deployed"
	Uninstalled     Status = "uninstalled"
	Superseded      Status = "superseded"
	Failed          Status = "failed"
	Uninstalling    Status = "uninstalling"
	PendingInstall  Status = "pending-install"
	PendingUpgrade  Status = "pending-upgrade"
	PendingRollback Status = "pending-rollback"
)

// statuses are those that a record may have.
var statuses = []Status{Unknown, Deployed, Uninstalled, Superseded, Failed, Uninstalling, PendingInstall,
	PendingUpgrade, PendingRollback}

// IsPending reports whether an action on the revision has begun and not ended. Helm refuses to upgrade such a release.
func (s Status) IsPending() bool {
	return s == PendingInstall || s == PendingUpgrade || s == PendingRollback || s == Uninstalling
}

// Phase is how the last run of a hook ended.
type Phase string

// The phases. A hook that never ran has none.
const (
	HookUnknown   Phase = condition.Unknown
	HookRunning   Phase = "Running"
	HookSucceeded Phase = condition.Succeeded
	HookFailed    Phase = "Failed"
)

// ClientSide is the ApplyMethod of the records that the spoke writes, although the spoke applies server-side. With the
// other method, a rollback by Helm 4 is refused, because the fields belong to the spoke.
const ClientSide = "csa"

// Record is one revision of a release. It may hold plaintext of secrets.
type Record struct {
	Name        string          `json:"name"`
	Namespace   string          `json:"namespace"`
	Version     int             `json:"version"` // the revision, from 1
	Info        Info            `json:"info"`
	Chart       json.RawMessage `json:"chart,omitempty"`  // as Helm writes a chart
	Config      json.RawMessage `json:"config,omitempty"` // the values of the user
	Manifest    string          `json:"manifest"`
	Hooks       []Hook          `json:"hooks,omitempty"`
	ApplyMethod string          `json:"apply_method,omitempty"` // of Helm 4; the next command of helm does the same

	// Labels are the user's labels of the Secret.
	Labels map[string]string `json:"-"`
	others map[string]json.RawMessage
}

// Info is what is known about a revision beside its content. Zero times are unknown.
type Info struct {
	FirstDeployed time.Time
	LastDeployed  time.Time
	Deleted       time.Time
	Description   string
	Status        Status
	Notes         string

	others map[string]json.RawMessage
}

// Hook is an object that is created at certain steps of a release.
type Hook struct {
	Name              string
	Kind              string
	Path              string // of the template
	Manifest          string
	Events            []string
	LastRun           Run
	Weight            int
	DeletePolicies    []string
	OutputLogPolicies []string

	others map[string]json.RawMessage
}

// Run is one run of a hook.
type Run struct {
	StartedAt, CompletedAt time.Time
	Phase                  Phase
}

// String names the revision. It hides everything else from fmt.
func (r Record) String() string {
	return fmt.Sprintf("release %s/%s revision %d", r.Namespace, r.Name, r.Version)
}

// GoString hides the content from fmt.
func (r Record) GoString() string { return r.String() }

// String hides the manifest from fmt.
func (h Hook) String() string { return "hook " + h.Kind + " " + h.Name }

// GoString hides the manifest from fmt.
func (h Hook) GoString() string { return h.String() }

const (
	// maxRecord is how many bytes Kubernetes takes in the data of a Secret.
	maxRecord = 1 << 20
	// maxDecoded is how many bytes a record may have before compression.
	maxDecoded = 16 << 20
	// MaxContent is how many bytes of manifest, values and hooks the spoke writes into a record.
	MaxContent = maxDecoded / 2
)

var gzipMagic = []byte{0x1f, 0x8b, 0x08}

// errMalformed stands for the errors of decoders, which quote what they read.
var errMalformed = errors.New("not a release of Helm")

// DecodeRecord reads the value of the key release of a Secret. Errors quote nothing of it.
func DecodeRecord(data []byte) (Record, error) {
	packed, err := base64.StdEncoding.AppendDecode(nil, data)
	if err != nil {
		return Record{}, fmt.Errorf("%w: not base64", errMalformed)
	}
	plain, err := unpack(packed)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if json.Unmarshal(plain, &r) != nil || json.Unmarshal(plain, &r.others) != nil {
		return Record{}, fmt.Errorf("%w: not its JSON", errMalformed)
	}
	maps.DeleteFunc(r.others, func(key string, _ json.RawMessage) bool { return slices.Contains(recordKeys, key) })
	return r, r.check()
}

// recordKeys are the keys that are fields of a Record.
var recordKeys = []string{"name", "namespace", "version", "info", "chart", "config", "manifest", "hooks",
	"apply_method"}

// unpack decompresses a record. Helm before 3.0 stored records uncompressed, which Helm still reads.
func unpack(packed []byte) ([]byte, error) {
	if !bytes.HasPrefix(packed, gzipMagic) {
		return packed, nil
	}
	unzip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged compression", errMalformed)
	}
	plain, err := io.ReadAll(io.LimitReader(unzip, maxDecoded+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: damaged compression", errMalformed)
	case len(plain) > maxDecoded:
		return nil, &bundle.TooLargeError{What: "the record of a release", Unit: "bytes", Size: len(plain),
			Limit: maxDecoded}
	}
	return plain, nil
}

func (r *Record) check() error {
	switch {
	case r.Name == "":
		return fmt.Errorf("%w: it has no name", errMalformed)
	case r.Version < 1:
		return fmt.Errorf("%w: it has no revision", errMalformed)
	case !slices.Contains(statuses, r.Info.Status):
		return fmt.Errorf("%w: its status is not known", errMalformed)
	}
	return nil
}

// Encode returns the value of the key release of a Secret. The values of the chart are left out if a Secret cannot hold
// the record with them. If it cannot hold the record at all, the error is a *bundle.TooLargeError.
func (r *Record) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	data, err := r.pack()
	if _, isTooLarge := errors.AsType[*bundle.TooLargeError](err); isTooLarge {
		if small, ok := r.withoutDefaults(); ok {
			return small.pack()
		}
	}
	return data, err
}

// withoutDefaults returns the record with a chart that has no values, which no command needs but helm get values --all.
func (r *Record) withoutDefaults() (*Record, bool) {
	var chart map[string]json.RawMessage
	if json.Unmarshal(r.Chart, &chart) != nil || len(chart["values"]) <= len("{}") {
		return nil, false
	}
	chart["values"] = json.RawMessage("{}")
	text, err := json.Marshal(chart)
	small := *r
	small.Chart = text
	return &small, err == nil
}

func (r *Record) pack() ([]byte, error) {
	plain, err := overlay(r.others, (*plainRecord)(r))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written as JSON", r)
	}
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(plain); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	data := base64.StdEncoding.AppendEncode(nil, packed.Bytes())
	if len(data) > maxRecord {
		return nil, &bundle.TooLargeError{What: "the record of " + r.String(), Unit: "bytes", Size: len(data),
			Limit: maxRecord}
	}
	return data, nil
}

// plainRecord is a Record without methods.
type plainRecord Record

// Fingerprint is the digest of what the revision is, whatever became of it: without status, times and runs of hooks. Of
// the chart only its metadata count, because each version of Helm adds fields of its own to charts.
func (r *Record) Fingerprint() manifest.Digest {
	content := plainRecord{Name: r.Name, Namespace: r.Namespace, Version: r.Version, Chart: metadataOf(r.Chart),
		Config: compact(r.Config), Manifest: r.Manifest}
	for _, h := range r.Hooks {
		h.LastRun, h.others = Run{}, nil
		content.Hooks = append(content.Hooks, h)
	}
	plain, err := json.Marshal(&content)
	if err != nil {
		return manifest.Digest{} // equal to no digest that is compared
	}
	return manifest.DigestOf(plain)
}

// metadataOf returns the metadata of a chart in a record.
func metadataOf(chart json.RawMessage) json.RawMessage {
	var c struct{ Metadata json.RawMessage }
	if json.Unmarshal(chart, &c) != nil {
		return nil
	}
	return compact(c.Metadata)
}

// compact returns JSON whose keys are sorted, because other programs write the same values in another order. Text that
// is no JSON becomes empty.
func compact(text json.RawMessage) json.RawMessage {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return sorted
}

// overlay returns the JSON of a struct with other keys that the struct does not have.
func overlay(others map[string]json.RawMessage, fields any) ([]byte, error) {
	text, err := json.Marshal(fields)
	if err != nil || len(others) == 0 {
		return text, err
	}
	all := maps.Clone(others)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
