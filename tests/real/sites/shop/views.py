"""The views. `nonce` marks what was made once: where it comes twice, somebody was given what was made for another."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import cache_control, cache_page
from django.views.decorators.http import require_POST

from .models import Product


def nonce() -> str:
    return secrets.token_hex(8)


def home(request: Any) -> Any:
    """Says nothing to caches. Shows messages, and what a message is kept in sets no `Vary`."""
    return render(request, "shop/home.html", {"products": Product.objects.order_by("slug")})


def offers(request: Any) -> Any:
    """Greets who is logged in, as base templates do, so Django adds `Vary: Cookie`."""
    return render(request, "shop/offers.html", {"nonce": nonce() if request.user.is_authenticated else ""})


def product(request: Any, slug: str) -> Any:
    """A page with a form, also for strangers."""
    return render(request, "shop/product.html", {"product": get_object_or_404(Product, slug=slug)})


def price(request: Any, slug: str) -> Any:
    """What a tag can purge."""
    found = get_object_or_404(Product, slug=slug)
    response = HttpResponse(f"{found.name}: {found.price}")
    response["Cache-Control"] = "s-maxage=86400"
    response["Surrogate-Key"] = f"product-{slug}"
    return response


@cache_control(s_maxage=60)
def about(request: Any) -> Any:
    return render(request, "shop/about.html")


@cache_page(60)
def news(request: Any) -> Any:
    return render(request, "shop/about.html")


@require_POST
def add(request: Any, slug: str) -> Any:
    cart = request.session.setdefault("cart", [])
    cart.append(slug)
    request.session.modified = True
    messages.success(request, f"added-{request.POST['mark']}")
    return redirect("cart")


@require_POST
def subscribe(request: Any) -> Any:
    """The newsletter, also for who has no session: the message is in a cookie of its own."""
    messages.success(request, f"added-{request.POST['mark']}")
    return redirect("home")


def cart(request: Any) -> Any:
    return render(request, "shop/cart.html", {"cart": request.session.get("cart", []), "nonce": nonce()})


@login_required
def account(request: Any) -> Any:
    return render(request, "shop/account.html", {"nonce": nonce()})


def campaign(request: Any) -> Any:
    """Advertising: a redirect that sets a cookie."""
    response = redirect("offers")
    response.set_cookie("campaign", nonce())
    return response


def me(request: Any) -> Any:
    """An interface with a token, which says nothing to caches."""
    name = request.headers.get("Authorization", "").removeprefix("Token ")
    if not User.objects.filter(username=name).exists():
        return JsonResponse({"error": nonce()}, status=401)
    return HttpResponse(f'<p data-user="{name}" data-nonce="{nonce()}">')


def scheme(request: Any) -> Any:
    """By which scheme Django thinks that it was asked."""
    return HttpResponse(request.scheme)


def busy(request: Any) -> Any:
    return HttpResponse(f'<p data-nonce="{nonce()}">', status=503)


def boom(request: Any) -> Any:
    raise ValueError("on purpose")


def broken(request: Any) -> Any:
    """What a visitor sees of an error."""
    return HttpResponse(f'<p data-nonce="{nonce()}">', status=500)
