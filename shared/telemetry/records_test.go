package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// secret is a value that hides itself from logs.
type secret struct{ plain string }

func (secret) LogValue() slog.Value { return slog.StringValue("***") }

type marshaled struct{ plain string }

func (m marshaled) MarshalText() ([]byte, error) { return []byte("text of it"), nil }

// textOfAll returns the records as lines.
func textOfAll(t *testing.T, r *Records, q Query) string {
	t.Helper()
	var lines []string
	err := r.Read(t.Context(), q, func(batch []Record, _ uint64) error {
		for _, record := range batch {
			line := record.Message
			for _, a := range record.Attributes {
				line += " " + a.Key + "=" + a.Value
			}
			lines = append(lines, line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "; ")
}

// TestKeep keeps exactly what the log writes: with what it hides, and without what its level leaves out.
func TestKeep(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(&out, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	log, kept := Keep(log, 1<<20)
	log.Debug("left out")
	//nolint:sloglint // each way to give an attribute
	log.With(slog.String("own", "1")).WithGroup("g").With("inner", secret{"hidden"}).Info("hello", "password",
		secret{"hidden"}, slog.Group("h", "d", time.Second), slog.Attr{}, "m", marshaled{"hidden"},
		"t", time.Unix(0, 0).UTC())
	const want = "hello own=1 g.inner=*** g.password=*** g.h.d=1s g.m=text of it g.t=1970-01-01T00:00:00Z"
	if got := textOfAll(t, kept, Query{Tail: -1}); got != want {
		t.Errorf("kept   %q\nwanted %q", got, want)
	}
	if strings.Contains(out.String(), "hidden") || !strings.Contains(out.String(), "g.password=***") {
		t.Errorf("logged %q", out.String())
	}
}

// recordsOfTest are four records, one a minute.
func recordsOfTest() (kept *Records, start time.Time) {
	_, kept = Keep(slog.New(slog.DiscardHandler), 1<<20)
	start = time.Now().Add(-time.Hour)
	for i, r := range []Record{
		{Message: "a", Level: slog.LevelDebug, Attributes: []Attribute{{"object", "Kustomization shop/app on east"}}},
		{Message: "b", Level: slog.LevelInfo, Attributes: []Attribute{{"application", "Kustomization shop/app"}}},
		{Message: "c", Level: slog.LevelWarn, Attributes: []Attribute{{"object", "Deployment.apps blue/app"}}},
		{Message: "d", Level: slog.LevelError, Attributes: []Attribute{{"cluster", "east"}, {"err", "Fleet all"}}},
	} {
		r.Time = start.Add(time.Duration(i) * time.Minute)
		kept.add(r)
	}
	return kept, start
}

func TestQuery(t *testing.T) {
	kept, start := recordsOfTest()
	for name, c := range map[string]struct {
		query Query
		want  string
	}{
		"all":           {Query{Level: slog.LevelDebug, Tail: -1}, "a b c d"},
		"level":         {Query{Level: slog.LevelWarn, Tail: -1}, "c d"},
		"since":         {Query{Since: time.Since(start) - 30*time.Second, Tail: -1}, "b c d"},
		"tail":          {Query{Tail: 2}, "c d"},
		"tail_of_level": {Query{Level: slog.LevelWarn, Tail: 1}, "d"},
		"tail_of_few":   {Query{Level: slog.LevelWarn, Tail: 9}, "c d"},
		"none":          {Query{Tail: 0}, ""},
		"object":        {Query{Level: slog.LevelDebug, Tail: -1, Kind: "Kustomization", Name: "app"}, "a b"},
		"tail_object":   {Query{Level: slog.LevelDebug, Tail: 1, Kind: "kustomization", Name: "app"}, "b"},
		"namespace":     {Query{Tail: -1, Kind: "Kustomization", Namespace: "blue", Name: "app"}, ""},
		"kind":          {Query{Tail: -1, Kind: "deployment", Name: "app"}, "c"},
		"kind_group":    {Query{Tail: -1, Kind: "Deployment.apps", Namespace: "blue", Name: "app"}, "c"},
		"cluster":       {Query{Tail: -1, Kind: "Cluster", Name: "east"}, "d"},
		"in_a_text":     {Query{Tail: -1, Kind: "Fleet", Name: "all"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := textOfAll(t, kept, c.query)
			var messages []string
			for _, line := range strings.Split(got, "; ") {
				messages = append(messages, strings.Split(line, " ")[0])
			}
			if got := strings.Join(messages, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestRecords_memory keeps no more than the limit, whatever is logged.
func TestRecords_memory(t *testing.T) {
	const limit = 512 << 10
	log, kept := Keep(slog.New(enabled{}), limit)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 100_000 {
		log.Info("applied", Cluster(fmt.Sprint("cluster-", i)), Revision(strings.Repeat("r", i%300)), Count(i))
	}
	log.Error(strings.Repeat("x", 8<<20), "a", strings.Repeat("y", 8<<20)) //nolint:sloglint // the length counts
	if used := int(heap()) - int(before); used > limit*5/4 || kept.size > limit || len(kept.kept) < 1000 {
		t.Errorf("%d records need %d bytes, counted as %d; the limit is %d", len(kept.kept), used, kept.size, limit)
	}
	runtime.KeepAlive(kept)
}

// enabled is a handler that drops all records.
type enabled struct{}

func (enabled) Enabled(context.Context, slog.Level) bool  { return true }
func (enabled) Handle(context.Context, slog.Record) error { return nil }
func (e enabled) WithAttrs([]slog.Attr) slog.Handler      { return e }
func (e enabled) WithGroup(string) slog.Handler           { return e }

// TestRead_slow has a reader that stops for a minute: the log never waits, and the reader is told how much it missed.
func TestRead_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, kept := Keep(slog.New(enabled{}), 64<<10)
		ctx, cancel := context.WithCancel(t.Context())
		got, missed := 0, 0
		ended := make(chan error, 1)
		go func() {
			ended <- kept.Read(ctx, Query{Tail: -1, Follow: true}, func(batch []Record, lost uint64) error {
				if got += len(batch); got == 1 {
					time.Sleep(time.Minute)
				}
				missed += int(lost)
				return nil
			})
		}()
		const lines = 60_000
		start := time.Now()
		for i := range lines { // 1,000 lines a second
			log.Info("line", Count(i))
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took != lines*time.Millisecond {
			t.Errorf("the log waited for its reader: %s for a minute of lines", took)
		}
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || missed == 0 || got+missed != lines {
			t.Errorf("%v: the reader got %d lines and missed %d, want %d in all", err, got, missed, lines)
		}
	})
}

// TestRead_follow has a reader that is fast enough for 1,000 lines a second and misses none.
func TestRead_follow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, kept := Keep(slog.New(enabled{}), 512<<10)
		ctx, cancel := context.WithCancel(t.Context())
		var got, batches int
		ended := make(chan error, 1)
		go func() {
			ended <- kept.Read(ctx, Query{Tail: 0, Follow: true}, func(batch []Record, lost uint64) error {
				for _, r := range batch {
					if want := fmt.Sprint(got); r.Attributes[0].Value != want || lost > 0 {
						t.Errorf("line %s after %d lost, want line %s", r.Attributes[0].Value, lost, want)
					}
					got++
				}
				batches++
				return nil
			})
		}()
		synctest.Wait()
		for i := range 10_000 {
			log.Info("line", Count(i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || got != 10_000 || batches > 1000 {
			t.Errorf("%v: %d lines in %d batches", err, got, batches)
		}
	})
}
