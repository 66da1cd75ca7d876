"""The whole site."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("offers/", views.offers, name="offers"),
    path("p/<slug:slug>/", views.product, name="product"),
    path("price/<slug:slug>/", views.price),
    path("about/", views.about),
    path("news/", views.news),
    path("cart/", views.cart, name="cart"),
    path("subscribe/", views.subscribe, name="subscribe"),
    path("cart/add/<slug:slug>/", views.add, name="add"),
    path("account/", views.account),
    path("go/", views.campaign),
    path("api/me/", views.me),
    path("scheme/", views.scheme),
    path("busy/", views.busy),
    path("boom/", views.boom),
    path("accounts/", include("django.contrib.auth.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
handler500 = "shop.views.broken"
