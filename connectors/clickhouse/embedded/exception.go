package embedded

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Error codes of ClickHouse's src/Common/ErrorCodes.cpp that this package makes itself.
const (
	codeBadArguments       = 36
	codeNotImplemented     = 48
	codeLogicalError       = 49
	codeSyntaxError        = 62
	codeUnknownSetting     = 115
	codeReadonly           = 164
	codeQueryTooLarge      = 229
	codeOutfileNotAllowed  = 358
	codeCannotReadAll      = 33
	codeRequiredPassword   = 194
	codeSessionNotFound    = 372
	codeSessionLocked      = 373
	codeQueryCancelled     = 394
	codeQueryIDRunning     = 216
	codeAuthFailed         = 516
	codeCannotWriteToFile  = 75
	codeUnknownCompression = 89
)

// exception is an error of the engine, or of this interface in the engine's form.
type exception struct {
	code    int
	name    string
	message string // "Code: N. DB::Exception: ... (NAME)"
}

func (e *exception) Error() string { return e.message }

// newException makes an error of this interface.
func newException(code int, format string, args ...any) *exception {
	name := exceptionName(code)
	return &exception{
		code: code, name: name,
		message: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name),
	}
}

func exceptionName(code int) string {
	switch code {
	case codeBadArguments:
		return "BAD_ARGUMENTS"
	case codeNotImplemented:
		return "NOT_IMPLEMENTED"
	case codeSyntaxError:
		return "SYNTAX_ERROR"
	case codeUnknownSetting:
		return "UNKNOWN_SETTING"
	case codeReadonly:
		return "READONLY"
	case codeQueryTooLarge:
		return "QUERY_IS_TOO_LARGE"
	case codeOutfileNotAllowed:
		return "INTO_OUTFILE_NOT_ALLOWED"
	case codeCannotReadAll:
		return "CANNOT_READ_ALL_DATA"
	case codeRequiredPassword:
		return "REQUIRED_PASSWORD"
	case codeSessionNotFound:
		return "SESSION_NOT_FOUND"
	case codeSessionLocked:
		return "SESSION_IS_LOCKED"
	case codeQueryCancelled:
		return "QUERY_WAS_CANCELLED"
	case codeQueryIDRunning:
		return "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"
	case codeAuthFailed:
		return "AUTHENTICATION_FAILED"
	case codeCannotWriteToFile:
		return "CANNOT_WRITE_TO_FILE_DESCRIPTOR"
	case codeUnknownCompression:
		return "UNKNOWN_COMPRESSION_METHOD"
	default:
		return "LOGICAL_ERROR"
	}
}

// parseException reads the engine's text. Text without a code becomes a
// LOGICAL_ERROR, so that a client always finds one.
func parseException(text string) *exception {
	text = strings.TrimRight(text, "\n ")
	rest, ok := strings.CutPrefix(text, "Code: ")
	digits, _, found := strings.Cut(rest, ".")
	code, err := strconv.Atoi(digits)
	if !ok || !found || err != nil {
		return newException(codeLogicalError, "%s", text)
	}
	// The name stands last; the message may quote others, and SQL of the user.
	name := ""
	if i := strings.LastIndex(text, "("); i >= 0 && strings.HasSuffix(text, ")") {
		if m := text[i+1 : len(text)-1]; regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(m) {
			name = m
		}
	}
	return &exception{code: code, name: name, message: text}
}

// httpStatus maps an error code as the server's HTTPHandler does.
func httpStatus(code int) int {
	switch code {
	case codeRequiredPassword:
		return http.StatusUnauthorized
	case 192, 193, codeAuthFailed: // UNKNOWN_USER, WRONG_PASSWORD
		return http.StatusForbidden
	case 6, 25, 26, 27, 38, 41, 53, codeSyntaxError, 72, 117, 376, 467, // values and texts that do not parse
		codeBadArguments, codeCannotReadAll, 69, 70, codeUnknownCompression:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 73, 78, 81, codeUnknownSetting, 336: // UNKNOWN_*
		return http.StatusNotFound
	case codeQueryTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case 159: // TIMEOUT_EXCEEDED
		return http.StatusGatewayTimeout
	case 209: // SOCKET_TIMEOUT
		return http.StatusRequestTimeout
	case 202, 439: // TOO_MANY_SIMULTANEOUS_QUERIES, CANNOT_SCHEDULE_TASK
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
