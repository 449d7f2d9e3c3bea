package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
)

// Result is one figure.
type Result struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// String is the printed line.
func (r Result) String() string {
	return r.Name + " " + strconv.FormatFloat(r.Value, 'f', -1, 64) + " " + r.Unit
}

// figure rounds a value to what a machine that others use can tell: three digits, and whole numbers above that.
func figure(name string, value float64, unit string) Result {
	return Result{Name: name, Value: rounded(value), Unit: unit}
}

func rounded(v float64) float64 {
	digits := 0
	for limit := 100.0; math.Abs(v) < limit && digits < 3; limit /= 10 {
		digits++
	}
	scale := math.Pow10(digits)
	return math.Round(v*scale) / scale
}

// writeJSON writes figures as a list. No figures are an empty list, not null.
func writeJSON(path string, results []Result) error {
	if results == nil {
		results = []Result{}
	}
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

// percentile returns the smallest sample that at least p percent of the samples do not exceed (the nearest-rank method:
// always a value that was measured). It is NaN for no samples.
func percentile(samples []float64, p float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median returns the middle sample, or the mean of the two in the middle; NaN for no samples.
func median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(samples))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
