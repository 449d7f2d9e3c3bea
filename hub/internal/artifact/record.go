package artifact

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// Folder is one folder of an artifact: its entries, sorted by name. It must not be changed.
//
// On disk a folder is a record of one line for each entry: "mode bytes content<TAB>name" for a file, and
// "40000 bytes files links digest<TAB>name" for a folder, where digest is the SHA-256 of that folder's record. A name
// with a control character or an invalid byte is quoted, so a line is a line.
type Folder struct {
	Entries []Entry
	total   Totals // of Entries
}

// Entry is a file or a folder in a folder.
type Entry struct {
	Name    string
	Mode    Mode
	Content ContentID // of a Directory: the SHA-256 of its record
	Totals
}

// Totals say how much an entry holds. A folder holds everything below it. A file holds itself.
type Totals struct {
	Bytes int64
	Files int
	Links int // the symlinks among Files
}

// Directory is the Mode of an Entry that is a folder. No File has it.
const Directory Mode = "40000"

// Limits of a record. They are far above any Limits.
const (
	maxRecord     = 256 << 20 // bytes
	maxFiles      = 1 << 24   // files below a folder
	maxBytes      = 1 << 42   // bytes below a folder
	bytesOfRecord = 128       // of most lines
)

// encode returns the record of a folder.
func (f *Folder) encode() []byte {
	text := make([]byte, 0, bytesOfRecord*len(f.Entries))
	for _, e := range f.Entries {
		text = e.appendTo(text)
	}
	return text
}

// appendTo appends the line of an entry.
func (e Entry) appendTo(text []byte) []byte {
	text = append(append(text, e.Mode...), ' ')
	text = append(strconv.AppendInt(text, e.Bytes, 10), ' ')
	if e.Mode == Directory {
		text = append(strconv.AppendInt(text, int64(e.Files), 10), ' ')
		text = append(strconv.AppendInt(text, int64(e.Links), 10), ' ')
	}
	text = append(append(text, e.Content...), '\t')
	return append(append(text, quotePath(e.Name)...), '\n')
}

// parseRecord parses what encode returned, strictly: a folder has one record. Errors are ErrStorage.
func parseRecord(record []byte) (*Folder, error) {
	text := string(record) // which the entries share
	f := &Folder{Entries: make([]Entry, 0, strings.Count(text, "\n"))}
	for len(text) > 0 {
		line, rest, ok := strings.Cut(text, "\n")
		e, isEntry := parseEntry(line)
		f.total = f.total.plus(e.Totals)
		n := len(f.Entries)
		if !ok || !isEntry || !f.total.valid() || n > 0 && f.Entries[n-1].Name >= e.Name {
			return nil, fmt.Errorf("%w: line %d of the record of a folder is malformed or out of order", ErrStorage, n+1)
		}
		f.Entries, text = append(f.Entries, e), rest
	}
	return f, nil
}

// parseEntry parses a line without its end.
func parseEntry(line string) (e Entry, ok bool) {
	facts, name, _ := strings.Cut(line, "\t")
	if e.Name, ok = unquotePath(name); !ok || BadName(e.Name) != "" {
		return e, false
	}
	mode, facts, _ := strings.Cut(facts, " ")
	bytes, facts, _ := strings.Cut(facts, " ")
	e.Mode, e.Files = Mode(mode), 1
	var wrong [3]error
	if e.Bytes, wrong[0] = strconv.ParseInt(bytes, 10, 64); e.Mode == Directory {
		files, links, rest := "", "", ""
		files, facts, _ = strings.Cut(facts, " ")
		links, rest, _ = strings.Cut(facts, " ")
		e.Files, wrong[1] = strconv.Atoi(files)
		e.Links, wrong[2] = strconv.Atoi(links)
		facts = rest
	}
	if e.Mode == Symlink {
		e.Links = 1
	}
	e.Content = ContentID(facts)
	return e, cmp.Or(wrong[:]...) == nil && e.valid() && string(e.appendTo(nil)) == line+"\n"
}

// valid reports whether an entry with a good name could be one.
func (e Entry) valid() bool {
	isFolder := e.Mode == Directory && len(e.Content) == 2*len(manifest.Digest{})
	return (isFolder || e.Mode.valid()) && e.Content.valid() && e.Totals.valid() && e.Files > 0
}

// plus adds totals that are valid each.
func (t Totals) plus(o Totals) Totals {
	return Totals{t.Bytes + o.Bytes, t.Files + o.Files, t.Links + o.Links}
}

// valid reports whether totals are within what a record may say, so that adding them does not overflow.
func (t Totals) valid() bool {
	return t.Bytes >= 0 && t.Bytes <= maxBytes && t.Files >= 0 && t.Files <= maxFiles && t.Links >= 0 && t.Links <= t.Files
}

// Entry returns the entry with a name, and whether there is one. A nil Folder has none.
func (f *Folder) Entry(name string) (Entry, bool) {
	if f == nil {
		return Entry{}, false
	}
	at, ok := slices.BinarySearchFunc(f.Entries, name, func(e Entry, name string) int {
		return strings.Compare(e.Name, name)
	})
	if !ok {
		return Entry{}, false
	}
	return f.Entries[at], true
}

// quotePath returns a path as a record or an index has it.
func quotePath(name string) string {
	if IsPlain(name) && !strings.HasPrefix(name, `"`) {
		return name
	}
	return strconv.Quote(name)
}

// unquotePath is the inverse of quotePath. It accepts only what quotePath returns.
func unquotePath(text string) (string, bool) {
	name, err := strconv.Unquote(text)
	if err != nil || !strings.HasPrefix(text, `"`) {
		name = text
	}
	return name, quotePath(name) == text
}
