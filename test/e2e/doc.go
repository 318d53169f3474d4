// Package e2e holds the end-to-end tests: archives that real tools wrote are
// published, served and pulled by real engines, and what arrives is compared
// with what was in the archive.
//
// They have the build tag e2e and are started by hack/e2e.sh, which brings the
// engines (hack/engines.sh) and the archives (hack/images.sh). What they find
// of these in the environment they use; what is missing is reported, and with
// CI=true or STRICT=1 it is a failure.
package e2e
