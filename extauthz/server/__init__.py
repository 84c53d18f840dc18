"""The edge towards Envoy: its messages, its calls, and the pages for operators."""
