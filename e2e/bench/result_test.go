package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func hundred() []float64 {
	var samples []float64
	for i := 100; i >= 1; i-- {
		samples = append(samples, float64(i))
	}
	return samples
}

func TestPercentile(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		p, want float64
	}{
		{hundred(), 50, 50},
		{hundred(), 99, 99},
		{hundred(), 100, 100},
		{hundred(), 0, 1},
		{[]float64{7}, 99, 7},
		{[]float64{3, 1, 2}, 50, 2},
		{[]float64{3, 1, 2}, 99, 3},
		{[]float64{4, 3, 1, 2}, 50, 2},
	} {
		if got := percentile(test.samples, test.p); got != test.want {
			t.Errorf("percentile %v of %d samples is %v, want %v", test.p, len(test.samples), got, test.want)
		}
	}
	if !math.IsNaN(percentile(nil, 50)) {
		t.Error("the percentile of nothing is a number")
	}
}

func TestPercentileKeepsOrder(t *testing.T) {
	samples := []float64{3, 1, 2}
	percentile(samples, 50)
	median(samples)
	if !slices.Equal(samples, []float64{3, 1, 2}) {
		t.Errorf("samples are now %v", samples)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		samples []float64
		want    float64
	}{{[]float64{5}, 5}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(test.samples); got != test.want {
			t.Errorf("median of %v is %v, want %v", test.samples, got, test.want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestRounded(t *testing.T) {
	for value, want := range map[float64]float64{1.23456: 1.23, 12.3456: 12.3, 123.456: 123, 1234.56: 1235, 0.12345: 0.123,
		0: 0, -1.2345: -1.23} {
		if got := rounded(value); got != want {
			t.Errorf("%v is rounded to %v, want %v", value, got, want)
		}
	}
}

func TestResultString(t *testing.T) {
	for _, test := range []struct {
		result Result
		want   string
	}{
		{figure("a.b_ms", 12.345, "ms"), "a.b_ms 12.3 ms"},
		{figure("c", 0, "requests"), "c 0 requests"},
		{figure("d", 1234567, "bytes"), "d 1234567 bytes"},
	} {
		if got := test.result.String(); got != test.want {
			t.Errorf("line %q, want %q", got, test.want)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.json")
	for _, results := range [][]Result{{{"a", 1.5, "ms"}, {"b", 0, "requests"}}, {}} {
		if err := writeJSON(path, results); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := []Result{}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, results) {
			t.Errorf("the file says %v, want %v", got, results)
		}
	}
	if err := writeJSON(path, nil); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); strings.TrimSpace(string(b)) != "[]" {
		t.Errorf("no figures are written as %q, want an empty list", b)
	}
}

func TestChoose(t *testing.T) {
	if got := len(choose("")); got != len(benchmarks) {
		t.Errorf("no prefix chooses %d benchmarks, want all %d", got, len(benchmarks))
	}
	if got := choose("spoke.binary"); len(got) != 1 || got[0].figures[0] != "spoke.binary_mib" {
		t.Errorf("spoke.binary chooses %v", got)
	}
	if got := choose("spoke.binary,storm,idle"); len(got) != 2 {
		t.Errorf("two benchmarks by three names are %v", got)
	}
	if w := (&workshop{only: "storm.p99,idle"}); !w.wants("idle.") || !w.wants("storm.") || w.wants("fanout.") {
		t.Error("not the figures that were asked for")
	}
	if got := choose("nonsense"); len(got) != 0 {
		t.Errorf("an unknown name chooses %d benchmarks", len(got))
	}
}

func TestBenchmarks(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range benchmarks {
		if b.limit <= 0 || b.limit > 10*time.Minute {
			t.Errorf("%v may take %s", b.figures, b.limit)
		}
		for _, name := range b.figures {
			if seen[name] {
				t.Errorf("%s is found twice", name)
			}
			seen[name] = true
		}
	}
}

func TestFirstLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	first := "time=2026-01-02T03:04:05.006Z level=INFO msg=\"bundle accepted\" sequence=1\n"
	second := "time=2026-01-02T03:04:06.007Z level=INFO msg=other\ntime=2026-01-02T03:04:07.008Z level=INFO " +
		"msg=\"bundle accepted\" sequence=2\n"
	if err := os.WriteFile(path, []byte(first+second), 0o600); err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[int64]string{0: "2026-01-02T03:04:05.006Z",
		int64(len(first)): "2026-01-02T03:04:07.008Z"} {
		got, err := firstLogged(path, offset, "bundle accepted")
		if err != nil {
			t.Fatal(err)
		}
		if s := got.Format(time.RFC3339Nano); s != want {
			t.Errorf("from byte %d on it was logged at %s, want %s", offset, s, want)
		}
	}
	if _, err := firstLogged(path, 0, "never said"); err == nil {
		t.Error("a message that was never logged has a time")
	}
}
