package api

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration that is not negative, as time.ParseDuration
// does, and a number of weeks or days of 24 hours alone or before it: 2w, 7d,
// 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	var days time.Duration
	if i := strings.IndexAny(s, "dw"); i >= 0 {
		unit := day
		if s[i] == 'w' {
			unit = 7 * day
		}
		n, err := strconv.ParseUint(s[:i], 10, 63)
		if err != nil || n > uint64(math.MaxInt64/unit) {
			return 0, errors.New("not a number of days or weeks that a duration can have")
		}
		if days, s = time.Duration(n)*unit, s[i+1:]; s == "" {
			return days, nil
		}
	}
	rest, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, err
	case rest < 0 || s[0] == '+' && days > 0:
		return 0, errors.New("a duration has no sign")
	case days > math.MaxInt64-rest:
		return 0, errors.New("a duration can't be as long")
	}
	return days + rest, nil
}
