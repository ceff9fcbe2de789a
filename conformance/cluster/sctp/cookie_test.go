package sctp

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestCookiesAreTheServersOwn(t *testing.T) {
	made := time.Unix(1000, 5)
	c := cookie{made, 1, 2, 3, 4}
	sealed := c.seal(testSecret, testFlow)
	if got, ok := openCookie(sealed, testSecret, testFlow, made.Add(cookieLife)); !ok || !reflect.DeepEqual(got, c) {
		t.Fatalf("own cookie: %+v, %v", got, ok)
	}
	other := testFlow
	other.remote = netip.MustParseAddr("10.0.0.3")
	port := testFlow
	port.remotePort++
	tests := map[string]struct {
		b, secret []byte
		f         flow
		now       time.Time
	}{
		"too late":         {sealed, testSecret, testFlow, made.Add(cookieLife + 1)},
		"another's secret": {sealed, []byte("guess"), testFlow, made},
		"another address":  {sealed, testSecret, other, made},
		"another port":     {sealed, testSecret, port, made},
		"cut short":        {sealed[:len(sealed)-1], testSecret, testFlow, made},
		"empty":            {nil, testSecret, testFlow, made},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := openCookie(test.b, test.secret, test.f, test.now); ok {
				t.Errorf("opened: %+v", got)
			}
		})
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, ok := openCookie(changed, testSecret, testFlow, made); ok {
			t.Errorf("byte %d may be changed", i)
		}
	}
}
