package helm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// version is what is kept of a version of a chart.
type version struct {
	Version string   `json:"version"`
	URLs    []string `json:"urls,omitempty"`
	Digest  string   `json:"digest,omitempty"` // SHA-256 of the archive, in hexadecimal digits
	Created string   `json:"created,omitempty"`
}

// index has the versions of each chart of a repository.
type index struct {
	charts map[string][]version
	count  int
	limits Limits
	only   string // the chart that is kept; empty: all
}

// add adds a version. As in Helm, entries without a version do not count.
func (x *index) add(chart string, v version) error {
	if v.Version == "" {
		return nil
	}
	if x.count++; x.count > x.limits.Versions {
		return fmt.Errorf("%w: it has more than %d versions of charts", artifact.ErrLimit, x.limits.Versions)
	}
	if x.only != "" && chart != x.only {
		return nil
	}
	x.charts[chart] = append(x.charts[chart], v)
	return nil
}

// files returns the versions of each chart as a file of the artifact.
func (x *index) files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for chart, versions := range x.charts {
		text, err := json.Marshal(versions)
		if err != nil {
			return nil, err
		}
		if name := fileOf(chart); artifact.BadName(name) == "" {
			files[name] = text
		}
	}
	return files, nil
}

// indexSuffix is the end of the names of the files of an index.
const indexSuffix = ".json"

// fileOf returns the name of the file with the versions of a chart.
func fileOf(chart string) string { return url.PathEscape(chart) + indexSuffix }

// chartOf returns the chart whose versions a file has.
func chartOf(file string) string {
	chart, err := url.PathUnescape(strings.TrimSuffix(file, indexSuffix))
	if err != nil {
		return file
	}
	return chart
}

// read reads an index.yaml. Memory is needed for one version of a chart at a time, and for what is kept. If the file
// has a form that cannot be read so, such as one with anchors, a small file is read whole.
func (f *indexing) read(file io.ReadSeeker) (*index, error) {
	x := &index{charts: map[string][]version{}, limits: f.limits, only: f.only}
	in := bufio.NewReaderSize(file, 64<<10)
	var err error
	if begin, _ := in.Peek(1); string(begin) == "{" {
		err = x.readJSON(in)
	} else {
		err = x.readYAML(in)
	}
	if err == nil || errors.Is(err, artifact.ErrLimit) {
		return x, err
	}
	if size, sizeErr := file.Seek(0, io.SeekEnd); sizeErr != nil || size > maxWhole {
		return nil, fmt.Errorf("%w: %w", source.ErrProtocol, err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, artifact.StorageError(err)
	}
	whole := &index{charts: map[string][]version{}, limits: f.limits, only: f.only}
	if wholeErr := whole.readWhole(file); wholeErr != nil {
		if errors.Is(err, errNoEntries) {
			wholeErr = err // an error of the parser says less about a page of HTML
		}
		return nil, fmt.Errorf("%w: %w", source.ErrProtocol, wholeErr)
	}
	return whole, nil
}

// readWhole reads an index of any form.
func (x *index) readWhole(in io.Reader) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return artifact.StorageError(err)
	}
	var all struct {
		Entries map[string][]version `json:"entries"`
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		return err
	}
	if all.Entries == nil {
		return errNoEntries
	}
	for chart, versions := range all.Entries {
		for _, v := range versions {
			if err := x.add(chart, v); err != nil {
				return err
			}
		}
	}
	return nil
}

var errNoEntries = errors.New("it has no entries: this is no index of charts")

// readJSON reads an index in JSON.
func (x *index) readJSON(in io.Reader) error {
	d := json.NewDecoder(in)
	found := false
	err := eachField(d, func(name string) error {
		if name != "entries" {
			return d.Decode(new(json.RawMessage))
		}
		found = true
		return eachField(d, func(chart string) error {
			var versions []version
			if err := d.Decode(&versions); err != nil {
				return fmt.Errorf("chart %s: %w", source.Quote(chart), err)
			}
			for _, v := range versions {
				if err := x.add(chart, v); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil && !found {
		err = errNoEntries
	}
	return err
}

// eachField calls do for each field of a JSON object. do reads the value.
func eachField(d *json.Decoder, do func(name string) error) error {
	begin, err := d.Token()
	if err != nil {
		return err
	}
	if begin == nil { // null
		return nil
	}
	if begin != json.Delim('{') {
		return fmt.Errorf("want an object, not %v", begin)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if err := do(name.(string)); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// readYAML reads an index in YAML with an indented block for each chart, and in it one for each version, as all tools
// write it. Each version is parsed alone.
func (x *index) readYAML(in io.Reader) error {
	s := splitter{index: x, begun: map[string]bool{}, chartIndent: -1, itemIndent: -1}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, x.limits.Entry)
	for lines.Scan() {
		s.number++
		done, err := s.line(bytes.TrimSuffix(lines.Bytes(), []byte("\r")))
		if err != nil {
			return fmt.Errorf("line %d: %w", s.number, err)
		}
		if done {
			break
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return s.tooLong()
	case err != nil:
		return err
	case !s.inside:
		return errNoEntries
	}
	return s.flush()
}

// splitter divides the lines of an index into versions.
type splitter struct {
	index       *index
	number      int
	inside      bool   // in entries
	chart       string // the present one
	chartIndent int
	begun       map[string]bool // charts
	itemIndent  int             // of the versions of the chart; -1: it has none yet
	item        bytes.Buffer    // the lines of the present version
}

func (s *splitter) tooLong() error {
	return fmt.Errorf("%w: a version of chart %s has more than %s", artifact.ErrLimit, source.Quote(s.chart),
		artifact.FormatSize(int64(s.index.limits.Entry)))
}

// line reads one line. After the entries, done is true.
func (s *splitter) line(line []byte) (done bool, err error) {
	text := bytes.TrimLeft(line, " ")
	indent := len(line) - len(text)
	isText := len(text) > 0 && text[0] != '#'
	switch {
	case !s.inside:
		if rest, ok := bytes.CutPrefix(line, []byte("entries:")); ok {
			s.inside = true
			if rest = bytes.TrimSpace(rest); string(rest) == "{}" {
				return true, nil
			} else if len(rest) > 0 && rest[0] != '#' {
				return false, errors.New("entries are not in lines of their own")
			}
		}
		return false, nil
	case !isText:
	case indent == 0:
		return true, nil
	case s.chartIndent < 0:
		s.chartIndent = indent
		return false, s.begin(line)
	case indent < s.chartIndent:
		return false, errors.New("the indentation does not fit")
	case isItem(text) && s.itemIndent < 0:
		s.itemIndent = indent
	case isItem(text) && indent == s.itemIndent:
		err = s.flush()
	case indent == s.chartIndent:
		if err := s.flush(); err != nil {
			return false, err
		}
		return false, s.begin(line)
	case s.itemIndent < 0:
		return false, errors.New("want a list of versions")
	}
	return false, errors.Join(err, s.keep(line))
}

// isItem reports whether a line begins an item of a list.
func isItem(text []byte) bool { return text[0] == '-' && (len(text) == 1 || text[1] == ' ') }

// keep adds a line to the present version.
func (s *splitter) keep(line []byte) error {
	if s.itemIndent < 0 {
		return nil
	}
	s.item.Write(line)
	s.item.WriteByte('\n')
	if s.item.Len() > s.index.limits.Entry {
		return s.tooLong()
	}
	return nil
}

// begin begins a chart.
func (s *splitter) begin(line []byte) error {
	var named map[string][]version
	if err := yaml.Unmarshal(line, &named); err != nil {
		return err
	}
	s.itemIndent = -1
	for chart, versions := range named {
		if s.begun[chart] {
			return fmt.Errorf("chart %s is there twice", source.Quote(chart))
		}
		s.chart, s.begun[chart] = chart, true
		for _, v := range versions { // on the same line
			if err := s.index.add(chart, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush parses the present version.
func (s *splitter) flush() error {
	if s.item.Len() == 0 {
		return nil
	}
	var versions []version
	if err := yaml.Unmarshal(s.item.Bytes(), &versions); err != nil {
		return fmt.Errorf("the version of chart %s before it: %w", source.Quote(s.chart), err)
	}
	s.item.Reset()
	for _, v := range versions {
		if err := s.index.add(s.chart, v); err != nil {
			return err
		}
	}
	return nil
}
