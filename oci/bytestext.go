package oci

import "fmt"

// BytesText writes a number of bytes for humans, in units of 1000.
func BytesText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, exp := float64(n)/unit, 0
	for value >= unit && exp < 4 {
		value, exp = value/unit, exp+1
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[exp])
}
