package manifest

import "bytes"

// Part is a part of a stream of manifests: whole documents.
type Part struct {
	Data  []byte
	Start Start
}

// Start says where a part of a stream begins: behind how many documents and lines.
type Start struct{ Documents, Lines int }

// Split divides a stream of YAML into its documents. A stream of JSON is one part. The parts have the objects and the
// errors of the stream (ParsePart), unless a directive of YAML stands for several documents.
func Split(data []byte) (parts []Part) {
	begin, lines, end := 0, 0, 0 // of the part, of the lines read so far
	next := Start{}
	add := func() {
		parts = append(parts, Part{data[begin:end], next})
		begin, next = end, Start{len(parts), lines}
	}
	for line := range bytes.Lines(data) {
		if isMark(line, "---") && !isBlank(data[begin:end]) {
			add()
		}
		end += len(line)
		lines++
		if isMark(line, "...") && !isBlank(data[begin:end-len(line)]) {
			add()
		}
	}
	if begin < end {
		add()
	}
	return parts
}

// isMark reports whether a line begins or ends a document.
func isMark(line []byte, mark string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// ParsePart is ParseAll for a part of a stream. The places are those in the stream.
func ParsePart(p Part) ([]Located, []*ParseError) {
	r := reader{all: true}
	r.read(p.Data)
	for i := range r.objects {
		o := &r.objects[i]
		o.Document, o.line, o.offset = o.Document+p.Start.Documents, o.line+p.Start.Lines, o.offset+p.Start.Lines
	}
	for _, fault := range r.faults {
		if fault.Document > 0 {
			fault.Document += p.Start.Documents
		}
		if fault.Line > 0 {
			fault.Line += p.Start.Lines
		}
	}
	return r.objects, r.faults
}
