"""The native edge: requests below ``$memphis.api.v1.`` decoded, granted and answered."""
