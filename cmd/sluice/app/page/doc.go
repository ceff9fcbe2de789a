// Package page writes an answer of policy/connectivity as one HTML page: a matrix, a
// graph and a table of who can reach whom, with the whole explanation of each cell.
//
// The page is whole in itself: it asks the network for nothing, and its content
// security policy forbids it to. All that comes from manifests is data: it is embedded
// as JSON in which no character can end the script element, and the program of the page
// writes it as text and never as markup. The same answer gives the same bytes.
//
// assets/page.js is built from web by "make page", and assets/page.sum says of which
// sources; a test compares them. conformance/page uses the page in a browser.
package page
