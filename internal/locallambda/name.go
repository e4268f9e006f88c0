package locallambda

import (
	"fmt"
	"net/http"
	"regexp"
)

// functionName is the pattern of the service model: a name, a partial ARN or an ARN, each
// with a qualifier or without.
const functionName = `(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?`

var (
	validFunctionName = regexp.MustCompile(`^` + functionName + `$`)
	validQualifier    = regexp.MustCompile(`^[a-zA-Z0-9$_.-]{1,128}$`)
	versionNumber     = regexp.MustCompile(`^[0-9]+$`)
)

// The groups of functionName.
const (
	groupName      = 11
	groupQualifier = 13
)

// qualifier returns the version or alias that the request names, after it has checked that
// the request names this function. Account and region do not matter: code that has the ARN
// of its deployed function works here, too. An alias stands for the local version.
func (h *Handler) qualifier(r *http.Request) (string, *apiError) {
	name := r.PathValue("function")
	match := validFunctionName.FindStringSubmatch(name)
	if match == nil || len(name) > 256 {
		return "", invalidValue("functionName", name, "Member must satisfy regular expression pattern: "+functionName)
	}
	qualifier := match[groupQualifier]
	if query := r.URL.Query().Get("Qualifier"); query != "" {
		switch {
		case !validQualifier.MatchString(query):
			return "", invalidValue("qualifier", query, "Member must satisfy regular expression pattern: "+validQualifier.String())
		case qualifier != "" && qualifier != query:
			return "", &apiError{
				http.StatusBadRequest, "InvalidParameterValueException",
				"The derived qualifier from the function name does not match the specified qualifier.",
			}
		}
		qualifier = query
	}
	arn := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", h.cfg.Region, h.cfg.AccountID, match[groupName])
	if qualifier != "" {
		arn += ":" + qualifier
	}
	switch {
	case match[groupName] != h.cfg.FunctionName:
		return "", &apiError{
			http.StatusNotFound, "ResourceNotFoundException",
			fmt.Sprintf("Function not found: %s. The function that runs here is named %s.", arn, h.cfg.FunctionName),
		}
	case versionNumber.MatchString(qualifier) && qualifier != h.cfg.FunctionVersion:
		return "", &apiError{
			http.StatusNotFound, "ResourceNotFoundException",
			fmt.Sprintf("Function not found: %s. The version that runs here is %s.", arn, h.cfg.FunctionVersion),
		}
	}
	return qualifier, nil
}
