package api

func init() {
	// Only the name of the kind Secret is registered: package admin reads the credentials of the hub, and Secrets of a
	// cluster are payload.
	Register(Kind{Name: SecretKind, Plural: "secrets", Version: "v1", Namespaced: true, Role: CredentialRole,
		Columns: []Column{nameColumn, {Name: "TYPE", Value: fieldOf("type")}}})
	for _, k := range unsupported {
		k.Namespaced = true
		Register(k)
	}
}

// SecretKind is the kind of Kubernetes' Secrets.
const SecretKind = "Secret"

// unsupported are the kinds of Flux that the hub does not implement yet. A kind that is implemented moves from this
// list to a file of its own.
var unsupported = []Kind{
	{Name: "Alert", Plural: "alerts", Group: groupNotification, Version: "v1beta3", Role: NotificationRole},
	{Name: "Provider", Plural: "providers", Group: groupNotification, Version: "v1beta3",
		Words: []string{"alert provider"}, Role: NotificationRole},
	{Name: "Receiver", Plural: "receivers", Group: groupNotification, Version: "v1", Role: NotificationRole},
}
