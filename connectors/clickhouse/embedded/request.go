package embedded

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is what the URL of one HTTP request asks for, checked.
type request struct {
	query         string
	queryID       string
	database      string
	defaultFormat string
	sessionID     string
	sessionFor    time.Duration // 0 = the server's default
	sessionCheck  bool
	closeSession  bool
	compress      bool   // answer in ClickHouse blocks
	decompress    bool   // body is in ClickHouse blocks
	blockMethod   string // of compress
	httpCompress  bool   // honour Accept-Encoding
	waitEnd       bool   // hold the answer until the statement has ended
	protocol      string // client_protocol_version
	settings      []setting
	params        params
}

// parseRequest sorts URL parameters into those of the interface, param_X values and
// settings. known are the engine's setting names. Of a repeated parameter the
// last one counts, as on a server.
func parseRequest(q url.Values, known map[string]bool) (*request, error) {
	r := &request{httpCompress: true}
	names := make([]string, 0, len(q))
	for name := range q {
		names = append(names, name)
	}
	slices.Sort(names) // the same order each time, so errors are the same too
	for _, name := range names {
		value := q[name][len(q[name])-1]
		if handled, err := r.ownParameter(name, value); handled || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			if strings.ContainsRune(p+value, 0) {
				return nil, newException(codeBadArguments, "Parameter %s holds a zero byte", p)
			}
			r.params.names = append(r.params.names, p)
			r.params.values = append(r.params.values, value)
			continue
		}
		if !known[name] {
			return nil, newException(codeUnknownSetting, "Unknown setting '%s'", name)
		}
		if strings.ContainsRune(value, 0) {
			return nil, newException(codeBadArguments, "Setting %s holds a zero byte", name)
		}
		r.settings = append(r.settings, setting{name, value})
	}
	return r, nil
}

// ownParameter takes what is not a setting. Those without a case body are accepted
// and have no effect here.
func (r *request) ownParameter(name, value string) (handled bool, err error) {
	on := value == "1" || strings.EqualFold(value, "true")
	switch name {
	case "query":
		r.query = value
	case "query_id":
		r.queryID = value
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' }) || len(value) > 256 {
			return true, newException(codeBadArguments, "query_id is too long or holds control bytes")
		}
	case "database":
		r.database = value
	case "default_format":
		r.defaultFormat = value
	case "session_id":
		r.sessionID = value
	case "session_timeout":
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 || time.Duration(n)*time.Second > maxSessionTimeout {
			return true, newException(codeBadArguments, "session_timeout: %q is not between 1 and 3600 seconds", value)
		}
		r.sessionFor = time.Duration(n) * time.Second
	case "session_check":
		r.sessionCheck = on
	case "close_session":
		r.closeSession = on
	case "compress":
		r.compress = on
	case "decompress":
		r.decompress = on
	case "network_compression_method":
		r.blockMethod = value
	case "enable_http_compression":
		r.httpCompress = on
	case "wait_end_of_query":
		r.waitEnd = on
	case "client_protocol_version":
		r.protocol = value
	case "user", "password": // credentials has read them
	case "quota_key", "stacktrace", "buffer_size", "send_progress_in_http_headers", "role",
		"http_headers_progress_interval_ms", "http_write_exception_in_output_format",
		"add_http_cors_header", "network_zstd_compression_level", "http_zlib_compression_level":
	default:
		return false, nil
	}
	return true, nil
}

// readerMay refuses settings that a reader must not choose.
func (r *request) readerMay() error {
	for _, s := range r.settings {
		if !readerSetting(s.name) {
			return newException(codeReadonly, "Cannot modify '%s' setting in readonly mode", s.name)
		}
	}
	if r.sessionID != "" {
		return newException(codeReadonly, "reader: sessions are not allowed, leave session_id out (Python clickhouse_connect: autogenerate_session_id=False)")
	}
	return nil
}
