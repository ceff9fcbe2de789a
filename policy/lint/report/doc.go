// Package report writes what lint found for people and for the systems that run it:
// as text, JSON, SARIF 2.1.0, annotations of GitHub's workflows, and JUnit's XML.
//
// It is pure: a result goes in, text comes out, the same for the same.
package report
