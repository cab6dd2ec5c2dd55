"""Who receives what: eligibility, recipients and the exported rows."""
