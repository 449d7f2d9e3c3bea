package store

import "time"

// OperatorRole is what an operator may do. Each role includes those before it.
type OperatorRole string

// The roles of operators, from the least to the most.
const (
	RoleNone     OperatorRole = "none"      // nothing: the operator was removed
	RoleReadOnly OperatorRole = "read-only" // see objects, events, logs and the audit log
	RoleOperate  OperatorRole = "operate"   // act on what is there: reconcile, suspend, roll back, confirm, approve
	RoleAdmin    OperatorRole = "admin"     // change objects and credentials, add clusters and operators
)

// operatorRoles has the rank of each role.
var operatorRoles = map[OperatorRole]int{RoleNone: 1, RoleReadOnly: 2, RoleOperate: 3, RoleAdmin: 4}

// Known reports whether there is such a role.
func (r OperatorRole) Known() bool { return operatorRoles[r] > 0 }

// Includes reports whether a role may do what another one may do. A role that does not exist includes none.
func (r OperatorRole) Includes(other OperatorRole) bool {
	return r.Known() && other.Known() && operatorRoles[r] >= operatorRoles[other]
}

// Operator is what the operator of a name may do. An operator without a row has a certificate of nave-hub
// operator-config, which only who has the data folder can make, and is an admin.
type Operator struct {
	Role     OperatorRole `json:"role"`
	Selector string       `json:"selector,omitempty"` // of clusters by their labels; empty: all, and the hub's own objects
	// Registration is in the certificates that the hub issued to the operator. A certificate with another one is of an
	// operator that had the name before. It is empty if the hub issued none.
	Registration string    `json:"registration,omitempty"`
	ChangedAt    time.Time `json:"changedAt"`
	ChangedBy    string    `json:"changedBy"` // SPIFFE ID
}

// OperatorCertificate is a certificate of an operator that the hub issued or has seen. A revoked one is kept for good:
// if it were deleted after its end, a clock that is ahead once would let it in again.
type OperatorCertificate struct {
	Operator  string    `json:"operator"`
	IssuedAt  time.Time `json:"issuedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
	IssuedBy  string    `json:"issuedBy,omitempty"` // SPIFFE ID; empty: made by nave-hub operator-config
	RevokedAt time.Time `json:"revokedAt,omitzero"`
	RevokedBy string    `json:"revokedBy,omitempty"` // SPIFFE ID
}

// Operators has the operators by name, OperatorCertificates their certificates by serial number, as in identity.Caller.
var (
	Operators            = newTable[Operator]("operators", ofHub)
	OperatorCertificates = newTable[OperatorCertificate]("operators.certificates", ofHub)
)
