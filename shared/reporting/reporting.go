// Package reporting holds the limits of reports and the words of previews, and converts reports from and to protocol 1.
// The spoke cuts texts and lists to the limits. The hub cuts longer texts, and refuses a report with longer lists.
package reporting

// The most entries that the lists of a report have; all but MaxEvents and MaxApplications are of one application.
const (
	MaxObjects      = 20   // objects that are unhealthy
	MaxInventory    = 5000 // objects that the application owns
	MaxHeld         = 100  // objects of a held prune
	MaxDrifts       = 10   // objects that drifted
	MaxChanges      = 10   // fields of one of them, and managers that changed it
	MaxKeys         = 16   // names of keys
	MaxConditions   = 3    // of a release of Helm
	MaxRevisions    = 10   // of a release of Helm
	MaxEvents       = 100  // events of one report
	MaxApplications = 2000 // applications of one cluster
)

// The longest texts of a report, in bytes. A longer text is cut by telemetry.Printable.
const (
	MaxMessage = 2 << 10 // a message, and the reason why a bundle was rejected
	MaxWord    = 256     // a revision, a request, the reason of a condition, a part of a name
	MaxFact    = 128     // a version
	MaxValue   = 128     // a value of a field that drifted
)

// The limits of the answer to a preview.
const (
	MaxPreviewObjects = 100       // of one application
	MaxPreviewFields  = 50        // of one object
	MaxPreviewValue   = 1 << 10   // bytes of a value
	MaxPreview        = 60 << 10  // bytes about the objects of one application
	MaxAnswer         = 800 << 10 // bytes of the whole answer
)

// The limits of answers about schemas.
const (
	MaxSchema         = 16 << 20 // bytes of an OpenAPI v3 document
	MaxSchemaSent     = 4 << 20  // bytes of it, compressed
	MaxSchemaVersions = 5000     // that an API server has documents of
)

// The limits of answers about shapes; those of one shape are in package sealed.
const (
	MaxShapes       = 100       // answers of one request
	MaxShapeAnswers = 512 << 10 // bytes of one request
)

// The largest messages, in bytes.
const (
	MaxReport       = 450 << 10 // about one application
	MaxSent         = 10 << 20  // about all applications of a cluster, as a spoke sends them
	MaxStored       = 16 << 20  // about all applications of a cluster, as the hub stores them: a third more than is sent
	MaxCapabilities = 60 << 10  // of a cluster
)

// How often a spoke sends capabilities. A hub drops what is more than twice as many.
const (
	CapabilitiesRate  = 1.0 / 60 // per second
	CapabilitiesBurst = 10
)
