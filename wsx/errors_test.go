package wsx_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/zato-connect/zato-connect/wsx"
)

func TestEverySendStatusHasAName(t *testing.T) {
	assert.Equal(t, "not sent", wsx.NotSent.String())
	assert.Equal(t, "sent", wsx.WasSent.String())
	assert.Equal(t, "maybe sent", wsx.MaybeSent.String())
}
