package release

import (
	"encoding/json"
	"time"
)

// moment is a time in a record. Helm 3 writes a time that is not known as an empty text, and reads it so or not at all.
type moment struct{ time.Time }

func (m moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte(`""`), nil
	}
	return m.Time.MarshalJSON()
}

func (m *moment) UnmarshalJSON(text []byte) error {
	if string(text) == `""` || string(text) == "null" {
		m.Time = time.Time{}
		return nil
	}
	return m.Time.UnmarshalJSON(text)
}

// The fields that other keys of a record must not stand in for have no omitempty: they are written even if empty.

type infoFields struct {
	FirstDeployed moment `json:"first_deployed"`
	LastDeployed  moment `json:"last_deployed"`
	Deleted       moment `json:"deleted"`
	Description   string `json:"description"`
	Status        Status `json:"status"`
	Notes         string `json:"notes,omitempty"`
}

// MarshalJSON writes an Info as Helm does.
func (i Info) MarshalJSON() ([]byte, error) {
	return overlay(i.others, infoFields{moment{i.FirstDeployed}, moment{i.LastDeployed}, moment{i.Deleted},
		i.Description, i.Status, i.Notes})
}

// UnmarshalJSON reads an Info, and keeps the keys that Info does not have.
func (i *Info) UnmarshalJSON(text []byte) error {
	var f infoFields
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*i = Info{FirstDeployed: f.FirstDeployed.Time, LastDeployed: f.LastDeployed.Time, Deleted: f.Deleted.Time,
		Description: f.Description, Status: f.Status, Notes: f.Notes}
	return json.Unmarshal(text, &i.others)
}

type hookFields struct {
	Name              string    `json:"name"`
	Kind              string    `json:"kind"`
	Path              string    `json:"path"`
	Manifest          string    `json:"manifest"`
	Events            []string  `json:"events"`
	LastRun           runFields `json:"last_run"`
	Weight            int       `json:"weight,omitempty"`
	DeletePolicies    []string  `json:"delete_policies,omitempty"`
	OutputLogPolicies []string  `json:"output_log_policies,omitempty"`
}

type runFields struct {
	StartedAt   moment `json:"started_at"`
	CompletedAt moment `json:"completed_at"`
	Phase       Phase  `json:"phase"`
}

// MarshalJSON writes a Hook as Helm does.
func (h Hook) MarshalJSON() ([]byte, error) {
	run := runFields{moment{h.LastRun.StartedAt}, moment{h.LastRun.CompletedAt}, h.LastRun.Phase}
	return overlay(h.others, hookFields{h.Name, h.Kind, h.Path, h.Manifest, h.Events, run, h.Weight, h.DeletePolicies,
		h.OutputLogPolicies})
}

// UnmarshalJSON reads a Hook, and keeps the keys that Hook does not have.
func (h *Hook) UnmarshalJSON(text []byte) error {
	var f hookFields
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	*h = Hook{Name: f.Name, Kind: f.Kind, Path: f.Path, Manifest: f.Manifest, Events: f.Events, Weight: f.Weight,
		DeletePolicies: f.DeletePolicies, OutputLogPolicies: f.OutputLogPolicies,
		LastRun: Run{f.LastRun.StartedAt.Time, f.LastRun.CompletedAt.Time, f.LastRun.Phase}}
	if err := json.Unmarshal(text, &h.others); err != nil {
		return err
	}
	delete(h.others, "manifest") // kept once
	return nil
}
