package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
)

// maxUnpacked limits a chart with its packed subcharts, in bytes.
const maxUnpacked = 2 * maxChartSize

// chartFile is the file by which a folder is known as a chart.
const chartFile = "Chart.yaml"

// filesOf returns the files of the chart of a build.
func filesOf(t *tree.Tree, b *api.ChartBuild) ([]File, error) {
	if b.Chart != "" {
		folder, err := t.Locate(b.Chart)
		if err != nil {
			return nil, err
		}
		return readChart(t, folder, b.Unpacked)
	}
	at, isPacked, err := findChart(t)
	if err != nil {
		return nil, err
	}
	if !isPacked {
		b.Chart = at
		return readChart(t, at, b.Unpacked)
	}
	data, err := t.Read(at)
	if err != nil {
		return nil, err
	}
	files, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tree.Local(at), err)
	}
	return unpackSubcharts(files)
}

// findChart returns the path of the chart in an artifact that has nothing else: the root, the one folder there that is
// a chart, or the one file there, which is then an archive.
func findChart(t *tree.Tree) (at string, isPacked bool, err error) {
	kind, err := t.Type("/" + chartFile)
	if err != nil || kind == render.Regular {
		return "/", false, err
	}
	entries, err := t.List("/")
	if err != nil {
		return "", false, err
	}
	var charts []string
	for _, e := range entries {
		kind, err := t.Type(path.Join("/", e.Name, chartFile))
		if err != nil {
			return "", false, err
		}
		if kind == render.Regular {
			charts = append(charts, "/"+e.Name)
		}
	}
	switch {
	case len(charts) == 1:
		return charts[0], false, nil
	case len(charts) == 0 && len(entries) == 1:
		kind, err := t.Type("/" + entries[0].Name)
		return "/" + entries[0].Name, true, errors.Join(err, packedError(kind))
	}
	return "", false, fmt.Errorf("the artifact has %d charts at its root: %w: want one chart", len(charts),
		render.ErrNotFound)
}

func packedError(kind render.FileType) error {
	if kind != render.Regular {
		return fmt.Errorf("the artifact has no chart at its root: %w", render.ErrNotFound)
	}
	return nil
}

// unpack returns the files of a packed chart, which are in one folder of the archive.
func unpack(data []byte) (files []File, err error) {
	plain, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("no packed chart: %w", err)
	}
	archive, size := tar.NewReader(plain), 0
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("no packed chart: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue // folders, and links, which Helm leaves out
		}
		f, err := unpackFile(h, archive)
		if err != nil {
			return nil, err
		}
		if size += len(f.Data) + len(f.Name); size > maxChartSize {
			return nil, fmt.Errorf("%w: the files of the chart have more than %d bytes", render.ErrLimit, maxChartSize)
		}
		if files = append(files, f); len(files) > maxEntries {
			return nil, tooMany(f.Name)
		}
	}
}

// packedSubchart matches the paths of packed subcharts in a chart.
var packedSubchart = regexp.MustCompile(`^(charts/[^/._][^/]*/)*charts/[^/._][^/]*\.tgz$`)

// unpackSubcharts returns the files of a chart with those of its packed subcharts in place of the archives: below a
// folder that is named like the archive, with a mark. Helm ignores the names of such folders.
func unpackSubcharts(files []File) ([]File, error) {
	var unpacked []File
	size := 0
	for queue := files; len(queue) > 0; {
		if len(unpacked)+len(queue) > maxEntries {
			return nil, tooMany(queue[0].Name)
		}
		f := queue[0]
		queue = queue[1:]
		// Names count, too, because an archive may hold itself.
		if size += len(f.Name) + len(f.Data); size > maxUnpacked {
			return nil, fmt.Errorf("%s: %w: the chart and its packed subcharts have more than %d bytes", f.Name,
				render.ErrLimit, maxUnpacked)
		}
		if !packedSubchart.MatchString(f.Name) {
			unpacked = append(unpacked, f)
			continue
		}
		inside, err := unpack(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		for i := range inside {
			inside[i].Name = f.Name + "!/" + inside[i].Name
		}
		queue = append(inside, queue...)
	}
	return unpacked, nil
}

func unpackFile(h *tar.Header, content io.Reader) (f File, err error) {
	_, name, inFolder := strings.Cut(strings.ReplaceAll(h.Name, `\`, "/"), "/")
	if f.Name = path.Clean(name); !inFolder || f.Name == ".." || strings.HasPrefix(f.Name, "../") || path.IsAbs(f.Name) {
		return f, fmt.Errorf("file %q is not inside of the chart's folder", h.Name)
	}
	if f.Data, err = io.ReadAll(io.LimitReader(content, maxFileSize+1)); err != nil {
		return f, fmt.Errorf("file %q: %w", h.Name, err)
	}
	if len(f.Data) > maxFileSize {
		return f, fmt.Errorf("%s: %w: more than %d bytes", f.Name, render.ErrLimit, maxFileSize)
	}
	f.Data = bytes.TrimPrefix(f.Data, byteOrderMark)
	return f, nil
}
