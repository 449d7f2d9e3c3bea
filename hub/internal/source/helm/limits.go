package helm

// Limits bound one fetch. The defaults are beside the fields.
type Limits struct {
	Index    int64 // bytes of index.yaml: 50 MiB, as in Flux
	Versions int   // versions in an index: 500,000
	Entry    int   // bytes of one version in an index: 4 MiB
	Archive  int64 // bytes of the archive of a chart: 10 MiB, as in Flux
	File     int64 // bytes of a file in an archive: 5 MiB, as in Helm
	Unpacked int64 // bytes of an unpacked archive: 100 MiB, as in Helm
	Entries  int   // entries of an archive: 20,000
}

// DefaultLimits are those of Limits' doc comment.
var DefaultLimits = Limits{
	Index: 50 << 20, Versions: 500_000, Entry: 4 << 20,
	Archive: 10 << 20, File: 5 << 20, Unpacked: 100 << 20, Entries: 20_000,
}

// Limits of what is read whole, because it cannot be read as a stream.
const (
	maxWhole    = 8 << 20 // bytes of an index with anchors or of another unusual form
	maxMetadata = 1 << 20 // bytes of a Chart.yaml
)
