"""An enterprise knowledge assistant in LangGraph; see README.md in this folder."""
