package appmodel

// Labels and annotations that objects of an application carry in a cluster.
// Selectors use LabelApplication and LabelComponent only.
const (
	LabelInstallation = "appspan.dev/installation"
	LabelApplication  = "appspan.dev/application"
	LabelComponent    = "appspan.dev/component"
	LabelRoute        = "appspan.dev/route"
	LabelVolume       = "appspan.dev/volume"
	// LabelPart tells objects of one component of one kind apart where
	// needed: "files", "headless", "alias", ….
	LabelPart = "appspan.dev/part"

	// AnnotationHash is the hash of what was last sent for the object.
	AnnotationHash = "appspan.dev/hash"
	// AnnotationContent, in pod templates, changes when mounted files or
	// groups change, so that pods restart.
	AnnotationContent = "appspan.dev/content"
	// AnnotationRestarted, in pod templates, is when the component was
	// restarted.
	AnnotationRestarted = "appspan.dev/restarted"
	// AnnotationKept, on a claim that outlives its application, holds the
	// sealed generated secrets that its data needs.
	AnnotationKept = "appspan.dev/kept"
)
