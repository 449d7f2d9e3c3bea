package api

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the image of the hub has no time zones

	"github.com/robfig/cron/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RolloutSpec says how a change of what a Fleet gives moves through its clusters.
type RolloutSpec struct {
	// Stages are gone through in order; none: one stage has every cluster. A cluster that no stage selects is in a last
	// stage, RestStage.
	Stages      []RolloutStage     `json:"stages,omitempty"`
	Unreachable RolloutUnreachable `json:"unreachable,omitzero"`
	// OnFailure is what happens when more clusters of a stage failed than may: Pause or Rollback. Empty: Pause.
	OnFailure string          `json:"onFailure,omitempty"`
	Windows   []RolloutWindow `json:"windows,omitempty"`
	// Suspend lets no more clusters begin.
	Suspend bool `json:"suspend,omitempty"`
	// RevisionHistoryLimit is how many rollouts that ended are kept; nil: DefaultRolloutHistory.
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
}

// RolloutStage is a part of the clusters of a Fleet.
type RolloutStage struct {
	Name            string                `json:"name"`
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"` // nil: every cluster
	// MaxConcurrency is how many clusters may be under way at a time: a number, or a share of the stage, rounded down. At
	// least one is; nil: all of them.
	MaxConcurrency *intstr.IntOrString `json:"maxConcurrency,omitempty"`
	// MaxFailures is how many clusters may fail: a number, or a share of the stage, rounded down; nil: none.
	MaxFailures *intstr.IntOrString `json:"maxFailures,omitempty"`
	// MinSuccessTime is how long a cluster must be healthy without a break.
	MinSuccessTime metav1.Duration `json:"minSuccessTime,omitzero"`
	// ProgressDeadline is how long a cluster may take to become healthy; nil: DefaultProgressDeadline.
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	BeforeStage      []RolloutTask    `json:"beforeStage,omitempty"`
	AfterStage       []RolloutTask    `json:"afterStage,omitempty"`
}

// RolloutTask is something to wait for before a stage begins, or after all of its clusters are done.
type RolloutTask struct {
	Type     string          `json:"type"`              // ApprovalTask or TimedWaitTask
	WaitTime metav1.Duration `json:"waitTime,omitzero"` // of a TimedWaitTask
}

// RolloutUnreachable says what happens to clusters without a session when their turn comes.
type RolloutUnreachable struct {
	Policy string `json:"policy,omitempty"` // SkipUnreachable or WaitForUnreachable; empty: SkipUnreachable
	// After is how long a cluster must have been unreachable to be skipped; nil: the progress deadline of its stage.
	After *metav1.Duration `json:"after,omitempty"`
}

// RolloutWindow is when clusters may begin, or may not. One that denies counts more than any that allows.
type RolloutWindow struct {
	Kind     string          `json:"kind"`     // AllowWindow or DenyWindow
	Schedule string          `json:"schedule"` // when it opens, with the five fields of cron
	Duration metav1.Duration `json:"duration"`
	TimeZone string          `json:"timeZone,omitempty"` // of the IANA database; empty: UTC
}

// What fields of a RolloutSpec may say.
const (
	ApprovalTask       = "Approval"
	TimedWaitTask      = "TimedWait"
	SkipUnreachable    = "Skip"
	WaitForUnreachable = "Wait"
	PauseOnFailure     = "Pause"
	RollbackOnFailure  = "Rollback"
	AllowWindow        = "Allow"
	DenyWindow         = "Deny"
)

// Defaults and limits of a RolloutSpec.
const (
	RestStage               = "rest" // has the clusters that no other stage selects
	DefaultProgressDeadline = 30 * time.Minute
	DefaultRolloutHistory   = 10
	maxStages               = 31
	maxTasks                = 10
	maxWindows              = 50
	maxChanges              = 1000                 // of windows that Open looks at
	maxRolloutTime          = 365 * 24 * time.Hour // of any duration
)

// Concurrency returns how many of the clusters of the stage may be under way at a time.
func (s RolloutStage) Concurrency(clusters int) int {
	return max(scaled(s.MaxConcurrency, clusters, clusters), 1)
}

// Failures returns how many of the clusters of the stage may fail.
func (s RolloutStage) Failures(clusters int) int { return scaled(s.MaxFailures, clusters, 0) }

// scaled returns a number, or a share of clusters, rounded down.
func scaled(n *intstr.IntOrString, clusters, absent int) int {
	if n == nil {
		return absent
	}
	scaled, err := intstr.GetScaledValueFromIntOrPercent(n, clusters, false)
	if err != nil { // which admission refuses
		return 0
	}
	return scaled
}

// Deadline returns how long a cluster of the stage may take to become healthy.
func (s RolloutStage) Deadline() time.Duration {
	if s.ProgressDeadline == nil {
		return DefaultProgressDeadline
	}
	return s.ProgressDeadline.Duration
}

// Skips returns how long a cluster of a stage must have been unreachable to be skipped. If such clusters are waited
// for, Skips returns false.
func (u RolloutUnreachable) Skips(s RolloutStage) (after time.Duration, ok bool) {
	switch {
	case u.Policy == WaitForUnreachable:
		return 0, false
	case u.After == nil:
		return s.Deadline(), true
	}
	return u.After.Duration, true
}

// AllStages returns the stages, and the last one that has the clusters which no stage selects.
func (r *RolloutSpec) AllStages() []RolloutStage {
	return append(slices.Clone(r.Stages), RolloutStage{Name: RestStage})
}

// Stage returns the index into AllStages of the stage of a cluster with these ClusterLabels.
func (r *RolloutSpec) Stage(cluster labels.Labels) int { return r.Stager()(cluster) }

// Stager returns Stage for many clusters, so that the selectors are read once.
func (r *RolloutSpec) Stager() func(cluster labels.Labels) int {
	selectors := make([]labels.Selector, len(r.Stages))
	for i, s := range r.Stages {
		selectors[i] = selectorOf(s.ClusterSelector)
	}
	return func(cluster labels.Labels) int {
		for i, s := range selectors {
			if s.Matches(cluster) {
				return i
			}
		}
		return len(selectors)
	}
}

// selectorOf returns a selector that can be matched; nil matches all. Admission refuses those with errors.
func selectorOf(selector *metav1.LabelSelector) labels.Selector {
	if selector == nil {
		return labels.Everything()
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing()
	}
	return s
}

// History returns how many rollouts that ended are kept.
func (r *RolloutSpec) History() int {
	if r.RevisionHistoryLimit == nil {
		return DefaultRolloutHistory
	}
	return int(*r.RevisionHistoryLimit)
}

// Open reports whether clusters may begin at a time. If they may not, Open returns the next time at which they may, and
// zero if it is not among the next openings and ends of windows.
func (r *RolloutSpec) Open(at time.Time) (open bool, next time.Time) {
	if r.isOpen(at) {
		return true, time.Time{}
	}
	next = at
	for range maxChanges {
		if next = r.nextChange(next); next.IsZero() || r.isOpen(next) {
			return false, next
		}
	}
	return false, time.Time{}
}

func (r *RolloutSpec) isOpen(at time.Time) bool {
	allowed, allows := false, false
	for _, w := range r.Windows {
		within := w.contains(at)
		if w.Kind == DenyWindow && within {
			return false
		}
		allows = allows || w.Kind == AllowWindow
		allowed = allowed || w.Kind == AllowWindow && within
	}
	return allowed || !allows
}

// nextChange returns the first time after at when a window opens or ends; zero: none does.
func (r *RolloutSpec) nextChange(at time.Time) (next time.Time) {
	for _, w := range r.Windows {
		s, err := w.schedule()
		if err != nil { // which admission refuses
			continue
		}
		for _, t := range []time.Time{s.Next(at), s.Next(at.Add(-w.Duration.Duration)).Add(w.Duration.Duration)} {
			if t.After(at) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// contains reports whether the window is open at a time: it opened no longer than its duration ago.
func (w RolloutWindow) contains(at time.Time) bool {
	s, err := w.schedule()
	if err != nil { // which admission refuses
		return false
	}
	opened := s.Next(at.Add(-w.Duration.Duration))
	return !opened.IsZero() && !opened.After(at)
}

// schedule parses when the window opens.
func (w RolloutWindow) schedule() (cron.Schedule, error) {
	if strings.ContainsAny(w.Schedule, "@=") {
		return nil, fmt.Errorf("want five fields: minute, hour, day of the month, month, day of the week")
	}
	return cron.ParseStandard("CRON_TZ=" + cmp.Or(w.TimeZone, "UTC") + " " + w.Schedule)
}

// checkRollout checks a RolloutSpec.
func checkRollout(r *RolloutSpec, at *field.Path) (errs field.ErrorList) {
	if r == nil {
		return nil
	}
	errs = append(errs, tooMany(len(r.Stages), maxStages, at.Child("stages"))...)
	names := map[string]bool{RestStage: true}
	for i, s := range r.Stages {
		at := at.Child("stages").Index(i)
		if names[s.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), s.Name))
		}
		names[s.Name] = true
		errs = append(errs, checkStage(s, at)...)
	}
	unreachable := at.Child("unreachable")
	errs = append(errs, oneOf(r.Unreachable.Policy, unreachable.Child("policy"), SkipUnreachable, WaitForUnreachable)...)
	if r.Unreachable.After != nil {
		errs = append(errs, checkTime(*r.Unreachable.After, unreachable.Child("after"), 0)...)
		if r.Unreachable.Policy == WaitForUnreachable {
			errs = append(errs, field.Forbidden(unreachable.Child("after"), "it goes with the policy Skip only: remove it"))
		}
	}
	errs = append(errs, oneOf(r.OnFailure, at.Child("onFailure"), PauseOnFailure, RollbackOnFailure)...)
	errs = append(errs, tooMany(len(r.Windows), maxWindows, at.Child("windows"))...)
	for i, w := range r.Windows {
		errs = append(errs, checkWindow(w, at.Child("windows").Index(i))...)
	}
	if limit := r.RevisionHistoryLimit; limit != nil && (*limit < 0 || *limit > 100) {
		errs = append(errs, field.Invalid(at.Child("revisionHistoryLimit"), *limit, "want a number from 0 to 100"))
	}
	return errs
}

func checkStage(s RolloutStage, at *field.Path) field.ErrorList {
	errs := required(s.Name, at.Child("name"), validation.IsDNS1123Label)
	if s.ClusterSelector != nil {
		if _, err := metav1.LabelSelectorAsSelector(s.ClusterSelector); err != nil {
			errs = append(errs, field.Invalid(at.Child("clusterSelector"), field.OmitValueType{}, err.Error()))
		}
	}
	errs = append(errs, checkShare(s.MaxConcurrency, 1, at.Child("maxConcurrency"))...)
	errs = append(errs, checkShare(s.MaxFailures, 0, at.Child("maxFailures"))...)
	errs = append(errs, checkTime(s.MinSuccessTime, at.Child("minSuccessTime"), 0)...)
	if s.ProgressDeadline != nil {
		errs = append(errs, checkTime(*s.ProgressDeadline, at.Child("progressDeadline"), time.Second)...)
	}
	errs = append(errs, checkTasks(s.BeforeStage, at.Child("beforeStage"))...)
	return append(errs, checkTasks(s.AfterStage, at.Child("afterStage"))...)
}

// checkTasks checks the tasks before or after a stage. One approval is enough for all that wait at one place.
func checkTasks(tasks []RolloutTask, at *field.Path) field.ErrorList {
	errs := tooMany(len(tasks), maxTasks, at)
	approvals := 0
	for i, t := range tasks {
		at := at.Index(i)
		switch t.Type {
		case ApprovalTask:
			if t.WaitTime.Duration != 0 {
				errs = append(errs, field.Forbidden(at.Child("waitTime"), "it goes with the type TimedWait only: remove it"))
			}
			if approvals++; approvals > 1 {
				errs = append(errs, field.Forbidden(at, "one approval is enough for all that is here: remove it"))
			}
		case TimedWaitTask:
			errs = append(errs, checkTime(t.WaitTime, at.Child("waitTime"), time.Second)...)
		case "":
			errs = append(errs, field.Required(at.Child("type"), "Approval or TimedWait"))
		default:
			errs = append(errs, field.NotSupported(at.Child("type"), t.Type, []string{ApprovalTask, TimedWaitTask}))
		}
	}
	return errs
}

func checkWindow(w RolloutWindow, at *field.Path) (errs field.ErrorList) {
	if w.Kind == "" {
		errs = append(errs, field.Required(at.Child("kind"), "Allow or Deny"))
	}
	errs = append(errs, oneOf(w.Kind, at.Child("kind"), AllowWindow, DenyWindow)...)
	errs = append(errs, checkTime(w.Duration, at.Child("duration"), time.Second)...)
	if _, err := time.LoadLocation(w.TimeZone); err != nil {
		return append(errs, field.Invalid(at.Child("timeZone"), w.TimeZone, "want a name such as Europe/Berlin"))
	}
	if w.Schedule == "" {
		return append(errs, field.Required(at.Child("schedule"), `such as "0 9 * * 1-5"`))
	}
	if _, err := w.schedule(); err != nil {
		errs = append(errs, field.Invalid(at.Child("schedule"), w.Schedule, err.Error()))
	}
	return errs
}

// checkTime checks a duration of at least least.
func checkTime(d metav1.Duration, at *field.Path, least time.Duration) field.ErrorList {
	if d.Duration < least || d.Duration > maxRolloutTime {
		return field.ErrorList{field.Invalid(at, d.Duration.String(), fmt.Sprintf("want a duration from %s to %s", least,
			maxRolloutTime))}
	}
	return nil
}

// checkShare checks a number of at least least, or a share of it.
func checkShare(n *intstr.IntOrString, least int, at *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	number, isShare := strings.CutSuffix(n.String(), "%")
	value, err := strconv.Atoi(number)
	if err != nil || value < least || isShare && value > 100 || isShare != (n.Type == intstr.String) {
		want := fmt.Sprintf("want a number from %d, or a share from %d%% to 100%%", least, least)
		return field.ErrorList{field.Invalid(at, n.String(), want)}
	}
	return nil
}

// tooMany checks the length of a list.
func tooMany(n, most int, at *field.Path) field.ErrorList {
	if n <= most {
		return nil
	}
	return field.ErrorList{field.TooMany(at, n, most)}
}
