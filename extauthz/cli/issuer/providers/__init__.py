"""Identity providers, and the settings that their tokens need; facts of the providers' own documentation."""

from typing import Final

from extauthz.cli.issuer.providers.cloud import CLOUD
from extauthz.cli.issuer.providers.framework import FRAMEWORK
from extauthz.cli.issuer.providers.hosted import HOSTED
from extauthz.cli.issuer.providers.microsoft import MICROSOFT
from extauthz.cli.issuer.providers.opaque import OPAQUE
from extauthz.cli.issuer.providers.own import OWN
from extauthz.cli.issuer.providers.provider import UNFILLED, IdTokens, Provider, WrongUrl
from extauthz.cli.issuer.providers.proxy import PROXY
from extauthz.cli.issuer.providers.session import SESSION
from extauthz.cli.issuer.providers.workload import WORKLOAD

_ALL: Final = (*MICROSOFT, *HOSTED, *CLOUD, *OWN, *FRAMEWORK, *SESSION, *PROXY, *WORKLOAD, *OPAQUE)
PROVIDERS: Final = {each.name: each for each in _ALL}

__all__ = ["PROVIDERS", "UNFILLED", "IdTokens", "Provider", "WrongUrl"]
