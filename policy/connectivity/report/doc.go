// Package report writes what package connectivity finds out: as text for people, as
// documents for programs, as tables and as graphs.
//
// It knows connectivity's data and no flags, files or clusters. Where a rule stands it
// asks of a [Places].
//
// # JSON
//
// Each document has apiVersion and kind; fields are added, never renamed or given
// another meaning, as long as the version stands. Lists are never null. Its ends stand
// once, in "ends", and are referred to by their index there; "name" is how the text
// calls them. Kinds are "ConnectionList" ([ListDocument]), "Exposure"
// ([ExposureDocument]) and "ConnectionDiff" ([DiffDocument]).
package report
