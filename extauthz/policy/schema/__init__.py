"""The CustomResourceDefinitions, made from the dataclasses that the parser reads: nothing is said twice."""

from extauthz.policy.schema.resource import definitions

__all__ = ["definitions"]
