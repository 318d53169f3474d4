// Package browser tries the page of serve in a real Chromium, which browser.sh brings: its
// views, copying, pushes as they come, names that mean harm, axe-core's rules, and widths
// from 320 pixels to 4K in light and dark. It makes the pictures in docs.
package browser
