package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRolloutSimulate plays a change without a hub.
func TestRolloutSimulate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	if err := os.WriteFile(file, []byte(pacedFleetText), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		want []string // lines, or what the error has
		code int
	}{
		"each": {[]string{"--clusters=2"}, []string{"AFTER   EVENT", "0s      stage canary begins",
			"0s      canary-1, canary-2: UnderWay", "2m0s    canary-1, canary-2: Done",
			"2m0s    Waiting: it waits for an approval after stage canary", "7m0s    approved after stage canary",
			"7m0s    Succeeded"}, 0},
		"named": {[]string{"--clusters=canary=1,rest=2", "--takes=1m", "--approve-after=1h"}, []string{
			"1m0s     canary-1: Done", "1h1m0s   approved after stage canary", "1h1m0s   rest-1, rest-2: UnderWay",
			"1h2m0s   Succeeded"}, 0},
		"never":      {[]string{"--clusters=1", "--approve-after=never"}, []string{"Waiting: it waits for an approval after stage canary"}, 0},
		"fails":      {[]string{"--clusters=1", "--fail=canary-1"}, []string{"canary-1: Failed", "Failed: stage canary failed on canary-1"}, 0},
		"offline":    {[]string{"--clusters=2", "--offline=canary-2"}, []string{"canary-2: Skipped: it is offline since"}, 0},
		"no_stage":   {[]string{"--clusters=canry=1"}, []string{`the Fleet has no stage "canry": it has canary, rest`}, 2},
		"no_number":  {[]string{"--clusters=many"}, []string{"want a number to 5000"}, 2},
		"too_many":   {[]string{"--clusters=canary=4000,rest=4000"}, []string{"these are 8000 clusters"}, 2},
		"no_cluster": {[]string{"--clusters=1", "--fail=canary-2"}, []string{"did you mean canary-1?"}, 2},
		"no_time":    {[]string{"--clusters=1", "--approve-after=soon"}, []string{"want a duration, such as 5m, or never"}, 2},
		"no_takes":   {[]string{"--clusters=1", "--takes=-1s"}, []string{"want a duration, such as 2m"}, 2},
		"no_fleet":   {[]string{"dev", "--clusters=1"}, []string{"has 0 Fleets with the name dev"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, append([]string{"rollout", "simulate", "-f", file}, tt.args...)...)
			if err != nil {
				out += message(err)
			}
			if exitCode(err) != tt.code {
				t.Errorf("exit code %d: %s", exitCode(err), out)
			}
			wantLines(t, out, tt.want...)
		})
	}
}

// TestRolloutSimulate_hub plays a change on the clusters of the hub that the Fleet selects.
func TestRolloutSimulate_hub(t *testing.T) {
	out, _, code := rolloutRun(t, &rolloutHub{}, "rollout", "simulate", "prod", "--fail", "west")
	if code != 0 || strings.Contains(out, "dev") {
		t.Errorf("exit code %d: %s", code, out)
	}
	wantLines(t, out, "east: UnderWay", "approved after stage canary", "west: UnderWay",
		"Failed: stage rest failed on west")
	if _, errOut, code := rolloutRun(t, &rolloutHub{}, "rollout", "simulate", "other"); code != notFound {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}
