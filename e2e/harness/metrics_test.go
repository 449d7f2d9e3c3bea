package harness

import "testing"

func TestSumMetric(t *testing.T) {
	const text = "# HELP a x\na 1\nb{stage=\"applied\"} 3\nb{stage=\"received\"} 4\nbb 7\n" +
		"c{action=\"new\",cluster=\"east\"} 5\nwrong x\n"
	for _, test := range []struct {
		name string
		want float64
	}{{"a", 1}, {`b{stage="applied"}`, 3}, {"b", 7}, {"bb", 7}, {`c{action="new"}`, 5}, {"none", 0}} {
		if got, err := sumMetric(text, test.name); got != test.want || err != nil {
			t.Errorf("%s is %v, %v, want %v", test.name, got, err, test.want)
		}
	}
	if _, err := sumMetric(text, "wrong"); err == nil {
		t.Error("a value that is no number is read")
	}
}
