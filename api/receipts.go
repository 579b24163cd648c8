package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"p2ping/node"
)

// Bounds of waiting for receipts.
const (
	defaultReceiptTimeout = 3 * time.Second
	maxReceiptTimeout     = 20 * time.Second
	// receiptAnswerTime is how long the answer may take when the wait is over.
	receiptAnswerTime = 10 * time.Second
)

// wait is how many receipts a request waits for, and for how long.
type wait struct {
	receipts int
	timeout  time.Duration
}

func parseWait(query url.Values) (wait, error) {
	if len(query) == 0 { // the common case
		return wait{}, nil
	}
	n, err := number(query, "wait", node.MaxReceipts)
	if err != nil {
		return wait{}, err
	}
	w := wait{receipts: n, timeout: defaultReceiptTimeout}
	if v := query.Get("timeout"); v != "" {
		w.timeout, err = time.ParseDuration(v)
		if err != nil || w.timeout <= 0 || w.timeout > maxReceiptTimeout {
			return wait{}, refusef(http.StatusBadRequest, "the parameter timeout is a duration up to %s, such as 3s, not %.40q", maxReceiptTimeout, v)
		}
		if n == 0 {
			return wait{}, refuse(http.StatusBadRequest, "the parameter timeout goes with wait", "say how many receipts to wait for: wait=1")
		}
	}
	return w, nil
}

// extend moves the server's deadline for the answer beyond the wait, as
// publishing may have taken most of it.
func (w wait) extend(to http.ResponseWriter) {
	// What can't be moved need not be: it is none of a server's.
	_ = http.NewResponseController(to).SetWriteDeadline(time.Now().Add(w.timeout + receiptAnswerTime))
}

// appendReceipts waits for receipts and appends them to the answer. The status
// is 202 when time was up before as many came as were wanted. A ping that was
// published by an earlier request is not asked about again.
func (s *Server) appendReceipts(b []byte, r *http.Request, p node.Published, replayed bool, want wait) (_ []byte, status int) {
	var got []node.Receipt
	if !replayed {
		ctx, cancel := context.WithTimeout(r.Context(), want.timeout)
		defer cancel()
		go func() {
			select {
			case <-s.stopping:
				cancel()
			case <-ctx.Done():
			}
		}()
		got = s.node.Receipts(ctx, p, want.receipts)
	}
	b = append(b, `,"receipts":[`...)
	for i, receipt := range got {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"peer_id":"`...)
		b = append(b, receipt.PeerID.String()...)
		b = append(b, `","latency_ms":`...)
		b = strconv.AppendFloat(b, milliseconds(receipt.Latency), 'f', -1, 64)
		b = append(b, '}')
	}
	status = http.StatusOK
	if len(got) < want.receipts {
		status = http.StatusAccepted
	}
	return append(b, ']'), status
}
